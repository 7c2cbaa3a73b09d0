// Reads of a page through the worker against a bare message to a worker that reads the same kind of file.
import type { Bench } from './bench.ts';
import { openBenchBrowser } from './support/chromium.ts';

export const name = 'page-port';

export async function run(bench: Bench): Promise<void> {
  const browser = await openBenchBrowser({ oneProcessor: true });
  try {
    for (const { format, length, limit, ours } of await browser.call('port')) {
      bench.compare(`${format}, disk.read of ${length / 1024} KiB, to a bare message`, {
        limit,
        ours,
        wanted: { atLeast: 0.6 },
      });
    }
  } finally {
    await browser.close();
  }
}

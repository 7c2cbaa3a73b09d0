// The core over OPFS in its worker against the bare access handle; qemu-img's own benchmark beside it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bench } from './bench.ts';
import { openBenchBrowser } from './support/chromium.ts';
import { qemuBench } from './support/qemu.ts';

export const name = 'core-opfs';

export async function run(bench: Bench): Promise<void> {
  const browser = await openBenchBrowser();
  try {
    for (const { format, op, length, limit, ours } of await browser.call('core')) {
      bench.compare(`${format} on OPFS, ${op} ${length / 1024} KiB, to the handle`, {
        limit,
        ours,
        wanted: { atLeast: 0.8, aim: 0.95 },
      });
    }
  } finally {
    await browser.close();
  }
  const folder = mkdtempSync(join(tmpdir(), 'spindle-bench-'));
  try {
    for (const format of ['raw', 'qcow2'] as const) {
      for (const { name: line, times, bytes } of await qemuBench(folder, format)) bench.add(line, times, 'us', bytes);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// Cached reads through deep chains of overlays, in memory (Node) and in OPFS (the worker): depth must cost next to nothing.
import { formatDrivers } from '../src/block/format/index.ts';
import { createMemoryProtocol } from '../src/block/protocol/memory/index.ts';
import type { Bench } from './bench.ts';
import { measureChains, type ChainTimes } from './chains.ts';
import { openBenchBrowser } from './support/chromium.ts';

export const name = 'chain';

export async function run(bench: Bench): Promise<void> {
  const drivers = {
    protocols: [createMemoryProtocol()],
    formats: formatDrivers,
    filters: [],
    defaultProtocol: 'memory',
  };
  compare(bench, 'memory', await measureChains(drivers, (layer) => ({ driver: 'memory', name: layer })));
  const browser = await openBenchBrowser();
  try {
    compare(bench, 'OPFS', await browser.call('chain'));
  } finally {
    await browser.close();
  }
}

function compare(bench: Bench, where: string, chains: readonly ChainTimes[]): void {
  for (const { depth, length, limit, ours } of chains) {
    bench.compare(`${where}, read ${length / 1024} KiB through ${depth} overlays, to 1`, {
      limit,
      ours,
      wanted: { atMost: 1.5 },
    });
  }
}

// From nothing to a guest's prompt: an HTTP base under a qcow2 overlay in OPFS, against v86's own loader of the same file.
import { ensureGuests } from '../test/support/guest.ts';
import type { Bench } from './bench.ts';
import { openBenchBrowser, type BenchBrowser } from './support/chromium.ts';

export const name = 'boot';

const GUESTS = [
  { id: 'grub', rounds: 5 },
  { id: 'linux', rounds: 3 },
] as const;

export async function run(bench: Bench): Promise<void> {
  const { unavailable } = await ensureGuests();
  if (unavailable !== undefined) {
    console.log(`boot: not measured: ${unavailable}`);
    return;
  }
  const browser = await openBenchBrowser();
  try {
    for (const { id, rounds } of GUESTS) await compareBoots(bench, browser, id, rounds);
  } finally {
    await browser.close();
  }
}

async function compareBoots(bench: Bench, browser: BenchBrowser, id: 'grub' | 'linux', rounds: number): Promise<void> {
  const sides = { v86: newRounds(), spindle: newRounds() };
  for (let round = 0; round < rounds; round++) {
    for (const side of round % 2 === 0 ? (['v86', 'spindle'] as const) : (['spindle', 'v86'] as const)) {
      const visit = `${id}-${side}-${round}`;
      const ms = await browser.call('boot', { image: id, side, visit });
      console.log(`boot: ${id}, round ${round + 1}, ${side}: ${(ms / 1000).toFixed(1)} s`);
      sides[side].ms.push(ms);
      const { requests, bytes } = browser.takeTraffic(`?${visit}`);
      sides[side].requests.push(requests);
      sides[side].megabytes.push(bytes / 1e6);
    }
  }
  const { v86, spindle } = sides;
  bench.compare(`${id}: time to the prompt, to v86's loader`, {
    limit: v86.ms,
    ours: spindle.ms,
    unit: 'ms',
    wanted: { atMost: 1 },
  });
  bench.compare(`${id}: requests over HTTP`, {
    limit: v86.requests,
    ours: spindle.requests,
    unit: '',
    wanted: { atMost: 0.5 },
  });
  bench.add(`${id}: HTTP, v86's loader`, v86.megabytes, 'MB');
  bench.add(`${id}: HTTP, Spindle`, spindle.megabytes, 'MB');
}

function newRounds() {
  return { ms: [] as number[], requests: [] as number[], megabytes: [] as number[] };
}

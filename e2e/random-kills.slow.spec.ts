// Random work on a disk, and a browser that dies in the middle of it, ten times over.
import type { OverlayStorage } from './harness/overlay.ts';
import { runKillRounds } from './harness/kill-rounds.ts';
import { expect, test } from './harness/test.ts';

const rounds: readonly { readonly storage: OverlayStorage; readonly kills: number }[] = [
  { storage: 'opfs', kills: 10 },
  { storage: 'indexeddb', kills: 4 },
];

for (const { storage, kills } of rounds) {
  test(`${kills} kills at random leave a sound image in ${storage} with all that was flushed`, async ({ site }) => {
    const seed = Number(process.env['SPINDLE_SEED'] ?? Math.floor(Date.now() / 1000) % 2 ** 31);
    console.log(`random kills over ${storage}, again with SPINDLE_SEED=${seed}`);
    const counts = await runKillRounds(site, { seed, kills, storage });
    console.log(`${counts.kills} kills, ${counts.operations} operations, ${counts.flushes} flushes`);
    expect(counts.kills).toBe(kills);
    expect(counts.flushes).toBeGreaterThan(0);
  });
}

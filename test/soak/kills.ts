/** Browsers that are killed while they write to a disk: see e2e/harness/kill-rounds.ts. */
import { runKillRounds } from '../../e2e/harness/kill-rounds.ts';
import { Site } from '../../e2e/harness/site.ts';
import { Random } from '../support/random.ts';
import type { SoakCounts } from '../support/soak.ts';

export const name = 'kills';

const KILLS_PER_RUN = 3;

export async function run(seed: number): Promise<SoakCounts> {
  await using site = await Site.open();
  const storage = new Random(seed).fork().chance(0.7) ? 'opfs' : 'indexeddb';
  return { ...(await runKillRounds(site, { seed, kills: KILLS_PER_RUN, storage })) };
}

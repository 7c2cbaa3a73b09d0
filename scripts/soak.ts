// `npm run soak -- --minutes N`: the suites in test/soak/ in turn, each over fresh seeds, until time is up.
// `npm run soak -- --seed S --suite NAME` repeats one run.
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { SoakCounts, SoakSuite } from '../test/support/soak.ts';
import { root } from './run.ts';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '1' }, seed: { type: 'string' }, suite: { type: 'string' } },
});

function toNumber(option: string, text: string): number {
  const number = Number(text);
  if (text === '' || !Number.isFinite(number) || number < 0)
    throw new Error(`--${option} wants a number, not '${text}'`);
  return number;
}

async function loadSuites(wanted: string | undefined): Promise<SoakSuite[]> {
  const files = globSync('test/soak/*.ts', { cwd: root, exclude: ['**/*.test.ts'] }).toSorted();
  const suites = await Promise.all(files.map(async (file) => (await import(join(root, file))) as SoakSuite));
  const chosen = suites.filter(({ name }) => wanted === undefined || name === wanted);
  if (chosen.length > 0) return chosen;
  const names = suites.map(({ name }) => name).join(', ');
  throw new Error(wanted === undefined ? 'test/soak/ holds no suite' : `no suite '${wanted}'; there are: ${names}`);
}

/** Adds a run's counts to a suite's totals. */
function addCounts(totals: Map<string, number>, counts: SoakCounts): void {
  for (const [name, count] of Object.entries({ runs: 1, ...counts })) totals.set(name, (totals.get(name) ?? 0) + count);
}

const show = (counts: Iterable<readonly [string, number]>): string =>
  [...counts].map(([name, count]) => `${count} ${name}`).join(', ');

/** Runs one suite over one seed; returns false after saying what failed and how to see it again. */
async function runSeed(suite: SoakSuite, seed: number, totals: Map<string, number>): Promise<boolean> {
  const started = performance.now();
  try {
    const counts = await suite.run(seed);
    addCounts(totals, counts);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`${suite.name} seed ${seed}: ${show(Object.entries(counts))} (${seconds} s)`);
    return true;
  } catch (error) {
    console.error(`${suite.name} seed ${seed} FAILED:`, error);
    console.error(`again: npm run soak -- --suite ${suite.name} --seed ${seed}`);
    return false;
  }
}

/** Runs the chosen suites over one seed, or over fresh ones until time is up; returns the number of failures. */
async function soak(suites: readonly SoakSuite[], totals: ReadonlyMap<string, Map<string, number>>): Promise<number> {
  let failures = 0;
  const round = async (nextSeed: () => number): Promise<void> => {
    for (const suite of suites) if (!(await runSeed(suite, nextSeed(), totals.get(suite.name)!))) failures += 1;
  };
  if (values.seed !== undefined) {
    const seed = toNumber('seed', values.seed);
    await round(() => seed);
    return failures;
  }
  const end = performance.now() + toNumber('minutes', values.minutes) * 60_000;
  // Seeds follow each other from the time of day, so that runs at different times try different ones.
  let seed = Math.floor(Date.now() / 1000) % 2 ** 31;
  // The first round is always whole.
  do await round(() => seed++);
  while (performance.now() < end);
  return failures;
}

try {
  const suites = await loadSuites(values.suite);
  const totals = new Map(suites.map((suite) => [suite.name, new Map<string, number>()]));
  const failures = await soak(suites, totals);
  for (const [name, counts] of totals) console.log(`total ${name}: ${show(counts)}`);
  console.log(`${failures} failures`);
  process.exitCode = failures === 0 ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}

// `npm test` and, with --slow, `npm run test:slow`: sets up the tools, runs every part and closes with one line,
// `N passed, N failed`. A part whose tool is missing is skipped by name; where CI is set that counts as a failure.
import { parseArgs } from 'node:util';
import { setUpTools } from './setup.ts';
import { runSection, type Section } from './test/section.ts';

const { slow } = parseArgs({ options: { slow: { type: 'boolean', default: false } } }).values;
const missing = setUpTools(slow);

const vitest = (project: 'node' | 'browser') => [
  ['vitest', 'run', '--project', project, '--reporter=default', '--reporter=./scripts/test/vitest-reporter.ts'],
];
const playwright = [
  ['playwright', 'test', '--pass-with-no-tests', '--reporter=list,./scripts/test/playwright-reporter.ts'],
];
const script = (path: string, ...parameters: string[]) => ['node', `scripts/${path}`, ...parameters];

const build: Section = {
  title: 'build',
  commands: [script('guest/build.ts', '--soft'), script('build.ts')],
  counts: false,
};
const quickTier: readonly Section[] = [
  { title: 'format', commands: [['oxfmt', '--check']], counts: false },
  { title: 'lint', commands: [['oxlint'], script('lint/coroutines.ts')], counts: false },
  { title: 'types', commands: [script('types.ts')], counts: false },
  { title: 'unit', commands: vitest('node'), counts: true, environment: { SPINDLE_TESTS: 'unit' } },
  { title: 'browser', commands: vitest('browser'), counts: true, missing: missing.get('chromium') },
  {
    title: 'interop',
    commands: vitest('node'),
    counts: true,
    environment: { SPINDLE_TESTS: 'interop' },
    missing: missing.get('qemu'),
  },
  build,
  { title: 'package', commands: [script('package-check.ts')], counts: false },
  { title: 'end to end', commands: playwright, counts: true, missing: missing.get('chromium') },
];

const environment = { SPINDLE_SLOW: '1' };
const slowTier: readonly Section[] = [
  {
    title: 'slow unit',
    commands: vitest('node'),
    counts: true,
    environment: { ...environment, SPINDLE_TESTS: 'unit' },
  },
  { title: 'slow browser', commands: vitest('browser'), counts: true, environment, missing: missing.get('chromium') },
  {
    title: 'slow interop',
    commands: vitest('node'),
    counts: true,
    environment: { ...environment, SPINDLE_TESTS: 'interop' },
    missing: missing.get('qemu'),
  },
  build,
  { title: 'slow end to end', commands: playwright, counts: true, environment, missing: missing.get('chromium') },
];

const started = performance.now();
const summaries = (slow ? slowTier : quickTier).map(runSection);
const skipped = summaries.flatMap((summary) => summary.skipped);
const passed = summaries.reduce((sum, summary) => sum + summary.passed, 0);
let failed = summaries.reduce((sum, summary) => sum + summary.failed, 0);
if (process.env['CI'] !== undefined) failed += missing.size;

console.log(`\n${((performance.now() - started) / 60_000).toFixed(1)} minutes`);
for (const reason of skipped) console.log(`skipped: ${reason}`);
console.log(`${passed} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ''}`);
process.exitCode = failed === 0 ? 0 : 1;

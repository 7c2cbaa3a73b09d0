// `npm run bench [-- [--check] name ...]`: the modules bench/*.bench.ts in order (or those named), tables of what they measured,
// and the same as bench/results/latest.json. With --check it fails when a ratio is not what is wanted.
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Bench, type BenchModule, type BenchRow, type RatioRow } from './bench.ts';
import { chromiumPath } from '../scripts/chromium.ts';
import { tables, wantedText } from './table.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const { values, positionals: wanted } = parseArgs({
  options: { check: { type: 'boolean', default: false } },
  allowPositionals: true,
});

const rows: BenchRow[] = [];
const ratios: RatioRow[] = [];
const started = performance.now();
for (const file of globSync('*.bench.ts', { cwd: here }).toSorted()) {
  const module = (await import(here + file)) as BenchModule;
  if (wanted.length > 0 && !wanted.includes(module.name)) continue;
  const bench = new Bench(module.name);
  await module.run(bench);
  console.log(tables(module.name, bench));
  rows.push(...bench.rows);
  ratios.push(...bench.ratios);
}
if (rows.length + ratios.length === 0)
  throw new Error(`nothing was measured${wanted.length > 0 ? `: no bench named ${wanted.join(', ')}` : ''}`);

const versionOf = (tool: string): string =>
  spawnSync(tool, ['--version'], { encoding: 'utf8' }).stdout?.split('\n')[0] ?? 'not there';
const machine = {
  processor: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  node: process.version,
  chromium: versionOf(chromiumPath),
  qemu: versionOf('qemu-img'),
};
mkdirSync(`${here}results`, { recursive: true });
writeFileSync(
  `${here}results/latest.json`,
  JSON.stringify({ date: new Date().toISOString(), ...machine, rows, ratios }, null, 2),
);
console.log(`\n${Object.values(machine).join(', ')}`);
console.log(`${((performance.now() - started) / 1000).toFixed(0)} s; written to bench/results/latest.json`);

const missed = ratios.filter((row) => !row.met);
for (const row of missed)
  console.log(`missed: ${row.bench}, ${row.name}: ${row.ratio.toFixed(2)}, wanted ${wantedText(row.wanted)}`);
if (values.check && missed.length > 0) process.exitCode = 1;

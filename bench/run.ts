// `npm run bench [-- name ...]`: the modules bench/*.bench.ts in order (or those named), a table of what they measured, and the
// same as bench/results/latest.json.
import { globSync, mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Bench, type BenchModule, type BenchRow } from './bench.ts';

const here = fileURLToPath(new URL('.', import.meta.url));

function line(row: BenchRow): string {
  const number = (value: number): string => value.toPrecision(4).padStart(11);
  const speed = row.megabytesPerSecond === undefined ? '' : `${row.megabytesPerSecond.toFixed(0).padStart(9)} MB/s`;
  return `${row.name.padEnd(56)}${number(row.best)}${number(row.median)} ${row.unit.padEnd(4)}${speed}`;
}

const wanted = process.argv.slice(2);
const rows: BenchRow[] = [];
for (const file of globSync('*.bench.ts', { cwd: here }).toSorted()) {
  const module = (await import(here + file)) as BenchModule;
  if (wanted.length > 0 && !wanted.includes(module.name)) continue;
  console.log(`\n${module.name.padEnd(56)}${'best'.padStart(11)}${'median'.padStart(11)}`);
  const bench = new Bench(module.name);
  await module.run(bench);
  for (const row of bench.rows) console.log(line(row));
  rows.push(...bench.rows);
}
if (rows.length === 0)
  throw new Error(`nothing was measured${wanted.length > 0 ? `: no bench named ${wanted.join(', ')}` : ''}`);

const machine = { node: process.version, processor: cpus()[0]?.model ?? 'unknown', cores: cpus().length };
mkdirSync(`${here}results`, { recursive: true });
writeFileSync(
  `${here}results/latest.json`,
  JSON.stringify({ date: new Date().toISOString(), ...machine, rows }, null, 2),
);
console.log('\nwritten to bench/results/latest.json');

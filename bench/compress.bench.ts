// Compressing a disk into qcow2 and back, beside qemu-img, in turns: 64 MiB of real bytes from the page cache, in Node with its threads.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startAsync } from '../src/block/co.ts';
import { sizeThreadPool } from '../src/cli/shared/thread-pool.ts';
import { convertImage } from '../src/block/image/convert.ts';
import { createNodeGraph } from '../src/node/index.ts';
import type { Bench } from './bench.ts';
import { inTurns } from './rounds.ts';

export const name = 'compress';

const execute = promisify(execFile);
const BYTES = 64 * 2 ** 20;
const ROUNDS = 3;

interface Sides {
  limit(): Promise<unknown>;
  ours(): Promise<unknown>;
}

export async function run(bench: Bench): Promise<void> {
  // As spindle-img does; too late if another bench ran before in this process.
  sizeThreadPool(0);
  const folder = mkdtempSync(join(tmpdir(), 'spindle-bench-'));
  try {
    await compareAll(bench, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function compareAll(bench: Bench, folder: string): Promise<void> {
  const raw = join(folder, 'disk.raw');
  // The program that runs this: code and text, as on a disk.
  writeFileSync(raw, readFileSync(process.execPath).subarray(0, BYTES));
  for (const type of ['zlib', 'zstd'] as const) {
    const theirs = join(folder, `theirs-${type}.qcow2`);
    const ours = join(folder, `ours-${type}.qcow2`);
    const options = `compression_type=${type}`;
    await compare(bench, `convert -c to qcow2, ${type}`, {
      limit: () => qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o', options, raw, theirs),
      ours: () => convert({ driver: 'raw', path: raw }, { driver: 'qcow2', path: ours, compression_type: type }, true),
    });
    await compare(bench, `convert from qcow2, ${type}`, {
      limit: () => qemuImg('convert', '-f', 'qcow2', '-O', 'raw', theirs, join(folder, 'theirs.raw')),
      ours: () => convert({ driver: 'qcow2', path: theirs }, { driver: 'raw', path: join(folder, 'ours.raw') }, false),
    });
  }
}

async function compare(bench: Bench, line: string, { limit, ours }: Sides): Promise<void> {
  const turns = await inTurns(ROUNDS, { limit: () => timed(limit), ours: () => timed(ours) });
  bench.compare(line, { ...turns, unit: 'ms', wanted: { atMost: 1.5, aim: 1 } });
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

const qemuImg = (...args: string[]): Promise<unknown> => execute('qemu-img', args);

/** Without the start of a program, which qemu-img's times have: some ten milliseconds. Without flushes, as qemu-img (`-t unsafe`). */
async function convert(
  from: { readonly driver: string; readonly path: string },
  to: { readonly driver: string; readonly path: string; readonly [option: string]: string },
  compress: boolean,
): Promise<void> {
  const graph = createNodeGraph();
  const source = await graph.open({
    driver: from.driver,
    'read-only': true,
    file: { driver: 'file', filename: from.path, aio: 'threads' },
  });
  const { path, ...options } = to;
  const target = { ...options, file: { driver: 'file', filename: path, aio: 'threads', cache: { 'no-flush': true } } };
  await startAsync(convertImage(graph, source.node, target, { compress, overwrite: true }));
  await graph.close(source);
}

// qcow2 over files in Node against qemu-img on files like them: allocating writes, reads with tables cached and not, snapshots of a
// disk of 10 GiB, the check of an image with a million clusters, and the memory that this takes.
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  applySnapshot,
  checkImage,
  createNodeGraph,
  createSnapshot,
  startAsync,
  type BlockBackend,
  type BlockGraph,
} from '../src/node/index.ts';
import type { Bench, Wanted } from './bench.ts';
import { pattern } from './fill.ts';
import { inTurns } from './rounds.ts';

export const name = 'qcow2';

const execute = promisify(execFile);
const ROUNDS = 3;
const GIB = 2 ** 30;
/** Of reads in a round: a stride that comes round to other places, as qemu-img bench makes it. */
const REQUESTS = 8192;
const LENGTH = 4096;

export async function run(bench: Bench): Promise<void> {
  if (spawnSync('qemu-img', ['--version']).status !== 0) {
    console.log('qcow2: not measured: qemu-img is not there to compare with');
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'spindle-bench-'));
  try {
    await compareWrites(bench, folder);
    await compareReads(bench, folder);
    await compareSnapshots(bench, folder);
    await compareChecks(bench, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Compares two sides, each of which answers with microseconds. */
async function compare(
  bench: Bench,
  title: string,
  wanted: Wanted,
  limit: (round: number) => Promise<number>,
  ours: (round: number) => Promise<number>,
): Promise<void> {
  bench.compare(title, { ...(await inTurns(ROUNDS, { limit, ours })), wanted });
}

async function create(image: string, options: string, size: string): Promise<void> {
  await execute('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', options, image, size]);
}

/** Microseconds of a qemu-img command, without the start of the process. */
async function qemuTime(...args: string[]): Promise<number> {
  const started = performance.now();
  await execute('qemu-img', ['--version']);
  const ready = performance.now();
  await execute('qemu-img', args);
  return Math.max(1, performance.now() - ready - (ready - started)) * 1000;
}

/** Microseconds per request that `qemu-img bench` says. */
async function qemuBench(image: string, ...args: string[]): Promise<number> {
  const sizes = ['-d', '1', '-c', String(REQUESTS), '-s', String(LENGTH)];
  const { stdout } = await execute('qemu-img', ['bench', '-t', 'writeback', ...sizes, ...args, image]);
  const seconds = /Run completed in ([\d.]+) seconds/.exec(stdout)?.[1];
  if (seconds === undefined) throw new Error(`qemu-img bench said: ${stdout}`);
  return (Number(seconds) * 1e6) / REQUESTS;
}

async function withDisk<T>(
  image: string,
  options: Readonly<Record<string, unknown>>,
  work: (disk: BlockBackend, graph: BlockGraph) => Promise<T>,
): Promise<T> {
  const graph = createNodeGraph();
  const disk = await graph.open({ driver: 'qcow2', file: { driver: 'file', filename: image }, ...options });
  try {
    return await work(disk, graph);
  } finally {
    await graph.close(disk);
  }
}

async function perRequest(disk: BlockBackend, step: number, request: (offset: number) => unknown): Promise<number> {
  const started = performance.now();
  let offset = 0;
  for (let index = 0; index < REQUESTS; index++) {
    const pending = request(offset);
    if (pending instanceof Promise) await pending;
    offset = (offset + step) % (disk.length - LENGTH);
    offset -= offset % LENGTH;
  }
  return ((performance.now() - started) * 1000) / REQUESTS;
}

async function compareWrites(bench: Bench, folder: string): Promise<void> {
  const data = pattern(LENGTH);
  for (const [title, step] of [
    ['one after the other', LENGTH],
    ['each in another cluster', 65_536],
  ] as const) {
    const fresh = async (side: string, round: number): Promise<string> => {
      const image = join(folder, `write-${side}-${step}-${round}.qcow2`);
      await create(image, 'cluster_size=64k', '1G');
      return image;
    };
    await compare(
      bench,
      `allocating writes of 4 KiB, ${title}, to qemu-img bench`,
      { atMost: 1.5, aim: 1 },
      async (round) => qemuBench(await fresh('theirs', round), '-f', 'qcow2', '-w', '-S', String(step)),
      async (round) =>
        withDisk(await fresh('ours', round), {}, (disk) => perRequest(disk, step, (at) => disk.write(at, data))),
    );
  }
}

async function compareReads(bench: Bench, folder: string): Promise<void> {
  const image = join(folder, 'read.qcow2');
  await create(image, 'cluster_size=4k,preallocation=metadata', '4G');
  const buffer = new Uint8Array(LENGTH);
  const step = 65_536 * 37 + LENGTH;
  // Its least cache holds two slices of 4 KiB, each for 2 MiB of the disk: a stride over more misses every time.
  for (const [title, cacheSize] of [
    ['tables cached', 16 * 2 ** 20],
    ['tables not cached', 32_768],
  ] as const) {
    const options = `driver=qcow2,l2-cache-size=${cacheSize},l2-cache-entry-size=4096,file.filename=${image}`;
    await compare(
      bench,
      `reads of 4 KiB, ${title}, to qemu-img bench`,
      { atMost: 1.5, aim: 1 },
      () => qemuBench(options, '--image-opts', '-S', String(step)),
      () =>
        withDisk(image, { 'l2-cache-size': cacheSize, 'l2-cache-entry-size': 4096 }, (disk) =>
          perRequest(disk, step, (at) => disk.read(at, buffer)),
        ),
    );
  }
}

async function compareSnapshots(bench: Bench, folder: string): Promise<void> {
  for (const clusterSize of ['64k', '16k']) {
    const image = join(folder, `snapshot-${clusterSize}.qcow2`);
    await create(image, `cluster_size=${clusterSize},preallocation=metadata`, String(10 * GIB));
    const title = `of 10 GiB, clusters of ${clusterSize}, to qemu-img`;
    const timed = (work: (disk: BlockBackend) => Promise<unknown>): Promise<number> => {
      const started = performance.now();
      return withDisk(image, {}, work).then(() => (performance.now() - started) * 1000);
    };
    await compare(
      bench,
      `snapshot create ${title}`,
      { atMost: 3, aim: 1 },
      (round) => qemuTime('snapshot', '-c', `theirs ${round}`, image),
      (round) => timed((disk) => startAsync(createSnapshot(disk.node, { name: `ours ${round}` }))),
    );
    await compare(
      bench,
      `snapshot apply ${title}`,
      { atMost: 3, aim: 1 },
      () => qemuTime('snapshot', '-a', 'theirs 0', image),
      () => timed((disk) => startAsync(applySnapshot(disk.node, 'ours 0'))),
    );
    rmSync(image);
  }
}

async function compareChecks(bench: Bench, folder: string): Promise<void> {
  const image = join(folder, 'million.qcow2');
  await create(image, 'cluster_size=4k,preallocation=metadata', '4G');
  await compare(
    bench,
    'check of 2^20 clusters, to qemu-img check',
    { atMost: 3, aim: 1 },
    () => qemuTime('check', '-q', '-f', 'qcow2', image),
    async () => {
      const started = performance.now();
      await withDisk(image, { 'read-only': true }, (disk, graph) => startAsync(checkImage(graph, disk.node, 'none')));
      return (performance.now() - started) * 1000;
    },
  );
  const program = fileURLToPath(new URL('support/check-image.ts', import.meta.url));
  const { stdout } = await execute(process.execPath, [program, image]);
  const { peakMegabytes } = JSON.parse(stdout) as { peakMegabytes: number };
  bench.add('memory of a process that checks them, at its peak', [peakMegabytes], 'MB');
}

// spindle-img beside qemu-img, whole processes, pair by pair. `npm run bench -- cli`
import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { randomFillSync } from 'node:crypto';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { buildPrograms } from '../scripts/build/cli.ts';
import type { Bench, Wanted } from './bench.ts';
import { inTurns } from './rounds.ts';

export const name = 'cli';

const BUILT = fileURLToPath(new URL('../.cache/cli-bench', import.meta.url));
const MIB = 2 ** 20;
const DISK_MIB = 1024;
const ROUNDS = 3;
/** Of what takes a quarter of a second: single ones scatter by a tenth. */
const SHORT_ROUNDS = 9;
/** A convert may take so much memory, whatever the size of the image. */
const MAX_MEMORY_MIB = 256;

interface Run {
  readonly ms: number;
  /** What the processor worked for it, in user mode and in the system; 0 where that cannot be told. */
  readonly processorMs: number;
  /** The most that was resident at one time, as far as it was looked at. */
  readonly memoryMib: number;
}

function run(command: string, args: readonly string[]): Promise<Run> {
  const processorMs = childrenProcessorMs();
  const startedMs = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    let memoryMib = 0;
    const look = setInterval(() => {
      memoryMib = Math.max(memoryMib, residentMib(child.pid));
    }, 20);
    child.on('close', (code) => {
      clearInterval(look);
      const ms = performance.now() - startedMs;
      // Both sides of a comparison answer 0; a comparison of different images would be no comparison.
      if (code === 0) resolve({ ms, processorMs: childrenProcessorMs() - processorMs, memoryMib });
      else reject(new Error(`${command} ${args.join(' ')}: exit code ${code}`));
    });
  });
}

function residentMib(pid: number | undefined): number {
  try {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    // It has ended meanwhile.
    return 0;
  }
}

/** Of all processes that were started here and have ended. Linux counts it in hundredths of a second. proc(5), /proc/pid/stat */
function childrenProcessorMs(): number {
  try {
    const afterName = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)!.split(' ');
    return (Number(afterName[13]) + Number(afterName[14])) * 10;
  } catch {
    return 0;
  }
}

class Pairs {
  readonly #bench: Bench;
  readonly #program: string;
  memoryMib = 0;

  constructor(bench: Bench, program: string) {
    this.#bench = bench;
    this.#program = program;
  }

  /** @param args the command line; `OUT` stands for a file that each side has for itself and that is gone before each round */
  async compare(
    line: string,
    args: readonly string[],
    out: string,
    wanted: Wanted,
    pairs: number = ROUNDS,
  ): Promise<void> {
    const { limit, ours } = await inTurns(pairs, {
      limit: () => this.#once('qemu-img', [], args, `${out}.theirs`),
      ours: () => this.#once(process.execPath, [this.#program], args, `${out}.ours`),
    });
    for (const { memoryMib } of ours) this.memoryMib = Math.max(this.memoryMib, memoryMib);
    const known = limit.every(({ processorMs }) => processorMs > 0);
    this.#bench.compare(line, {
      limit: limit.map(({ ms }) => ms),
      ours: ours.map(({ ms }) => ms),
      unit: 'ms',
      wanted,
      processor: known
        ? {
            limit: limit.map(({ processorMs }) => processorMs),
            ours: ours.map(({ processorMs }) => processorMs),
          }
        : undefined,
    });
  }

  async #once(command: string, before: readonly string[], args: readonly string[], out: string): Promise<Run> {
    rmSync(out, { force: true });
    return await run(command, [...before, ...args.map((word) => (word === 'OUT' ? out : word))]);
  }
}

/** Half of it zeroes that are there, not holes; the other half does not compress, or is text if asked. */
function writeDisk(path: string, compressible: boolean): void {
  const descriptor = openSync(path, 'w');
  const zeroes = new Uint8Array(MIB);
  for (let index = 0; index < DISK_MIB; index++) {
    const data = compressible
      ? new Uint8Array(MIB).map((_, at) => (at * at + index) % 251)
      : randomFillSync(new Uint8Array(MIB));
    writeSync(descriptor, Math.floor(index / 16) % 2 === 0 ? data : zeroes, 0, MIB, index * MIB);
  }
  closeSync(descriptor);
}

async function measure(bench: Bench, folder: string): Promise<void> {
  const pairs = new Pairs(bench, join(BUILT, 'spindle-img.js'));
  const file = (entry: string) => join(folder, entry);
  const convert = (from: string, to: string, ...more: string[]) => ['convert', '-f', from, '-O', to, ...more];
  const plain = { atMost: 1.2, aim: 1 } as const;
  const packed = { atMost: 1.5, aim: 1 } as const;
  writeDisk(file('disk.raw'), false);
  await run('qemu-img', [...convert('raw', 'qcow2'), file('disk.raw'), file('disk.qcow2')]);
  await pairs.compare(
    'convert raw to qcow2, 1 GiB',
    [...convert('raw', 'qcow2'), file('disk.raw'), 'OUT'],
    file('o'),
    plain,
    SHORT_ROUNDS,
  );
  await pairs.compare(
    'convert qcow2 to raw, 1 GiB',
    [...convert('qcow2', 'raw'), file('disk.qcow2'), 'OUT'],
    file('o'),
    plain,
    SHORT_ROUNDS,
  );
  await pairs.compare(
    'compare raw and qcow2, 1 GiB',
    ['compare', file('disk.raw'), file('disk.qcow2')],
    file('o'),
    plain,
  );
  writeDisk(file('disk.raw'), true);
  for (const method of ['zlib', 'zstd']) {
    const options = ['-c', '-o', `compression_type=${method}`];
    await run('qemu-img', [...convert('raw', 'qcow2', ...options), file('disk.raw'), file(`${method}.qcow2`)]);
    const back = [...convert('qcow2', 'raw'), file(`${method}.qcow2`), 'OUT'];
    await pairs.compare(
      `convert to ${method}, 1 GiB`,
      [...convert('raw', 'qcow2', ...options), file('disk.raw'), 'OUT'],
      file('o'),
      packed,
    );
    await pairs.compare(`convert from ${method}, 1 GiB`, back, file('o'), packed);
  }
  bench.add('convert, most memory (MiB)', [pairs.memoryMib], 'MiB');
  if (pairs.memoryMib > MAX_MEMORY_MIB) throw new Error(`a convert took ${pairs.memoryMib} MiB of memory`);
  rmSync(file('disk.raw'));
  // A million clusters of 512 bytes.
  await run('qemu-img', [
    'create',
    '-q',
    '-f',
    'qcow2',
    '-o',
    'cluster_size=512,preallocation=metadata',
    file('many.qcow2'),
    '512M',
  ]);
  for (const command of ['map', 'check', 'measure']) {
    const more = command === 'map' ? ['--output=json'] : command === 'measure' ? ['-O', 'qcow2'] : [];
    await pairs.compare(`${command}, a million clusters`, [command, ...more, file('many.qcow2')], file('o'), plain);
  }
  const startUp = await rounds(() =>
    run(process.execPath, [join(BUILT, 'spindle-img.js'), 'info', file('disk.qcow2')]),
  );
  bench.add('info, the whole process', startUp, 'ms');
}

async function rounds(work: () => Promise<Run>): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < 11; round++) times.push((await work()).ms);
  return times;
}

/** Needs qemu-img, and 4 GiB of room for temporary files. */
async function runBench(bench: Bench): Promise<void> {
  await buildPrograms(BUILT);
  const folder = mkdtempSync(join(tmpdir(), 'spindle-bench-'));
  try {
    await measure(bench, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export { runBench as run };

/** qemu-img's own benchmark, for comparison: the same sizes of requests, one in flight, over an image in the page cache. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface QemuTimes {
  readonly name: string;
  readonly bytes: number;
  /** Microseconds per request, round by round. */
  readonly times: number[];
}

const ROUNDS = 3;

/** @returns nothing where there is no qemu-img */
export async function qemuBench(folder: string, format: 'raw' | 'qcow2'): Promise<QemuTimes[]> {
  const image = join(folder, `disk.${format}`);
  const found = await run('qemu-img', ['--version']).catch(() => undefined);
  if (found === undefined) return [];
  await run('qemu-img', ['create', '-q', '-f', format, image, '256M']);
  await run('qemu-io', ['-f', format, '-c', 'write -q -P 0xa7 0 256M', image]);
  const results: QemuTimes[] = [];
  for (const length of [4096, 65_536]) {
    for (const op of ['read', 'write'] as const) {
      const times: number[] = [];
      for (let round = 0; round < ROUNDS; round++) times.push(await oneRound(image, format, op, length));
      results.push({ name: `qemu-img bench, ${format}, ${op} ${length / 1024} KiB`, bytes: length, times });
    }
  }
  return results;
}

async function oneRound(image: string, format: string, op: 'read' | 'write', length: number): Promise<number> {
  const count = 16_384 / (length / 4096);
  // The step jumps over the image and comes round to other places; `-t writeback` leaves the page cache on.
  const step = 65_536 * 37 + length;
  const { stdout } = await run('qemu-img', [
    'bench',
    ...['-f', format, '-t', 'writeback', '-d', '1', '-c', String(count), '-s', String(length), '-S', String(step)],
    ...(op === 'write' ? ['-w'] : []),
    image,
  ]);
  const seconds = /Run completed in ([\d.]+) seconds/.exec(stdout)?.[1];
  if (seconds === undefined) throw new Error(`qemu-img bench said: ${stdout}`);
  return (Number(seconds) * 1e6) / count;
}

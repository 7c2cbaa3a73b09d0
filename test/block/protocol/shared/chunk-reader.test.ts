import { describe, expect, test } from 'vitest';
import { ChunkReader, splitChunks } from '../../../../src/block/protocol/shared/chunk-reader.ts';

const CHUNK = 16;
const NO_READ_AHEAD = { min: 0, max: 0, gap: 0 };

interface Load {
  readonly first: number;
  readonly count: number;
  /** Answers with chunks full of a byte. */
  answer(byte: number): void;
  fail(error: Error): void;
}

/** A source whose loads are answered by hand. */
function manualReader(
  limits: { parallel?: number; cacheBytes?: number; readAhead?: { min: number; max: number; gap: number } } = {},
) {
  const loads: Load[] = [];
  const reader = new ChunkReader(
    {
      length: CHUNK * 100,
      chunkBytes: CHUNK,
      load: (first, count) =>
        new Promise((resolve, reject) => {
          const answer = (byte: number) => resolve(splitChunks(new Uint8Array(count * CHUNK).fill(byte), CHUNK));
          loads.push({ first, count, answer, fail: reject });
        }),
    },
    { cacheBytes: CHUNK * 50, parallel: 2, requestBytes: CHUNK * 4, readAhead: NO_READ_AHEAD, ...limits },
  );
  return { reader, loads };
}

const tick = () => new Promise((resolve) => setTimeout(resolve, 0));
const bytesOf = (byte: number, count = CHUNK) => new Uint8Array(count).fill(byte);

describe('chunk reader', () => {
  test('what waits for a free request is merged, and the rest follows', async () => {
    const { reader, loads } = manualReader();
    const reads = [0, 10, 20, 21, 22, 23, 24, 19].map(async (index) =>
      reader.read(index * CHUNK, new Uint8Array(CHUNK)),
    );
    await tick();
    expect(loads.map(({ first, count }) => [first, count])).toEqual([
      [0, 1],
      [10, 1],
    ]);
    loads[0]!.answer(1);
    loads[1]!.answer(1);
    await tick();
    expect(loads.slice(2).map(({ first, count }) => [first, count])).toEqual([
      [20, 4],
      [24, 1],
    ]);
    loads[2]!.answer(1);
    loads[3]!.answer(1);
    await tick();
    expect(loads.slice(4).map(({ first }) => first)).toEqual([19]);
    loads[4]!.answer(1);
    await Promise.all(reads);
  });

  test('a chunk that changes while it is on its way is not cached, and whoever asks later gets the new one', async () => {
    const { reader, loads } = manualReader();
    const before = new Uint8Array(CHUNK);
    const first = reader.read(0, before);
    await tick();
    reader.forget(0);
    const after = new Uint8Array(CHUNK);
    const second = reader.read(0, after);
    await tick();
    expect(loads).toHaveLength(2);
    loads[1]!.answer(2);
    await second;
    loads[0]!.answer(1);
    await first;
    expect([before, after]).toEqual([bytesOf(1), bytesOf(2)]);
    const cached = new Uint8Array(CHUNK);
    expect(reader.read(0, cached)).toBeUndefined();
    expect(cached).toEqual(bytesOf(2));
  });

  test('closing fails every read that waits, also for chunks that had changed', async () => {
    const { reader, loads } = manualReader();
    const readAt = async (offset: number) => reader.read(offset, new Uint8Array(CHUNK));
    const reads = [readAt(0)];
    await tick();
    reader.forget(0);
    reads.push(readAt(0), readAt(CHUNK * 50));
    await tick();
    const settled = Promise.allSettled(reads);
    reader.close(new Error('closed'));
    for (const load of loads) load.answer(1);
    expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  });

  test('a failed read waits for its other chunks before it says so', async () => {
    const { reader, loads } = manualReader();
    const buffer = new Uint8Array(CHUNK * 8);
    let settled = false;
    const read = Promise.resolve(reader.read(0, buffer)).catch(() => {
      settled = true;
    });
    await tick();
    loads[0]!.fail(new Error('no'));
    await tick();
    expect(settled).toBe(false);
    loads[1]!.answer(3);
    await read;
    expect(settled).toBe(true);
  });

  test('what could not be fetched ahead is asked for again when it is needed', async () => {
    const { reader, loads } = manualReader({ readAhead: { min: CHUNK * 4, max: CHUNK * 4, gap: 0 } });
    for (const index of [0, 1]) {
      const read = reader.read(index * CHUNK, new Uint8Array(CHUNK));
      await tick();
      loads.at(index === 0 ? -1 : 1)!.answer(1);
      await read;
    }
    await tick();
    const ahead = loads.slice(1);
    expect(ahead.map(({ first, count }) => [first, count])).toEqual([
      [1, 4],
      [5, 1],
    ]);
    ahead[1]!.fail(new Error('no'));
    await tick();
    const buffer = new Uint8Array(CHUNK);
    const read = reader.read(CHUNK * 5, buffer);
    await tick();
    loads.at(-1)!.answer(7);
    await read;
    expect(buffer).toEqual(bytesOf(7));
  });

  test('the cache forgets what was used longest ago', async () => {
    const { reader, loads } = manualReader({ cacheBytes: CHUNK * 2 });
    const readChunk = async (index: number) => {
      const known = loads.length;
      const read = reader.read(index * CHUNK, new Uint8Array(CHUNK));
      await tick();
      loads[known]?.answer(1);
      await read;
    };
    for (const index of [0, 10, 0, 20, 0, 10]) await readChunk(index);
    expect(loads.map(({ first }) => first)).toEqual([0, 10, 20, 10]);
  });
});

/** What every implementation of compression must do, whatever it is made of: run in Node and in a real browser. */
import { describe, expect, it } from 'vitest';
import type { CompressionMethod, CompressionSet, Compressor } from '../../src/block/compression.ts';
import { BlockError } from '../../src/block/error.ts';
import { portableCompression } from '../../src/codec/index.ts';
import { equalBytes, Random } from '../support/random.ts';

const SIZES = [512, 4096, 65_536, 2 ** 20];

/** Bytes that can be compressed, by far matches and near ones, and no cluster like the other. */
export function compressible(random: Random, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  const words = Array.from({ length: 40 }, () => random.bytes(random.between(3, 40)));
  for (let at = 0; at < length;) {
    const word = random.pick(words).subarray(0, length - at);
    bytes.set(word, at);
    at += word.length;
  }
  return bytes;
}

const padded = (bytes: Uint8Array, fill = 0): Uint8Array<ArrayBuffer> => {
  const longer = new Uint8Array(Math.ceil(bytes.length / 512) * 512 + 512).fill(fill);
  longer.set(bytes);
  return longer;
};

/** Calls it at once and on a thread; both must do the same. */
async function decompress(codec: Compressor, data: Uint8Array, size: number): Promise<Uint8Array | BlockError> {
  const attempt = async (run: (output: Uint8Array) => unknown): Promise<Uint8Array | BlockError> => {
    const output = new Uint8Array(size).fill(0xa5);
    try {
      await run(output);
      return output;
    } catch (error) {
      if (error instanceof BlockError) return error;
      throw error;
    }
  };
  const atOnce = await attempt((output) => codec.decompress(data, output));
  if (codec.threads === undefined) return atOnce;
  const { threads } = codec;
  const later = await attempt((output) => threads.decompress(data, output));
  if (atOnce instanceof BlockError) expect(later).toMatchObject({ message: atOnce.message });
  else expect(later instanceof Uint8Array && equalBytes(later, atOnce)).toBe(true);
  return atOnce;
}

/** Without the runner's comparison, which takes its time over large arrays. */
function expectBytes(result: Uint8Array | BlockError, bytes: Uint8Array): void {
  if (result instanceof BlockError) throw result;
  expect(equalBytes(result, bytes)).toBe(true);
}

const refused = (message: RegExp) => ({ kind: 'corrupt', message: expect.stringMatching(message) as string });

export function compressionSuite(name: string, set: CompressionSet): void {
  describe.each<CompressionMethod>(['deflate', 'zstd'])(`${name}: %s`, (method) => {
    it('gives back what it was given, padding or not, and what the others compress', async () => {
      const codec = await set.load(method);
      const other = await portableCompression.load(method);
      const random = new Random(31);
      for (const size of SIZES) {
        const bytes = compressible(random, size);
        const compressed = codec.compress(bytes)!;
        expect(compressed.length).toBeLessThan(size);
        expectBytes(await decompress(codec, compressed, size), bytes);
        expectBytes(await decompress(codec, padded(compressed), size), bytes);
        expectBytes(await decompress(codec, padded(compressed, 0xff), size), bytes);
        expectBytes(await decompress(other, padded(compressed), size), bytes);
        expectBytes(await decompress(codec, padded(other.compress(bytes)!), size), bytes);
        if (codec.threads !== undefined) {
          expectBytes(await decompress(codec, (await codec.threads.compress(bytes))!, size), bytes);
        }
      }
    });

    it('says that it is of no use for bytes that cannot be compressed', async () => {
      const codec = await set.load(method);
      const bytes = new Random(5).bytes(65_536);
      expect(codec.compress(bytes)).toBeUndefined();
      expect(await codec.threads?.compress(bytes)).toBeUndefined();
    });

    it('refuses a stream that gives fewer bytes or more', async () => {
      const codec = await set.load(method);
      const compressed = codec.compress(compressible(new Random(6), 4096))!;
      expect(await decompress(codec, padded(compressed), 8192)).toMatchObject(refused(/ends after 4096 of 8192 bytes/));
      expect(await decompress(codec, padded(compressed), 4095)).toMatchObject(refused(/goes on after 4095 bytes/));
      expect(await decompress(codec, padded(compressed), 512)).toMatchObject(refused(/goes on after 512 bytes/));
    });

    it('refuses a bomb without making the bytes', async () => {
      const codec = await set.load(method);
      const bomb = codec.compress(new Uint8Array(4 * 2 ** 20))!;
      expect(bomb.length).toBeLessThan(100_000);
      expect(await decompress(codec, bomb, 65_536)).toMatchObject(refused(/goes on after 65536 bytes/));
    });

    it('refuses a stream that is cut off, wherever that is', async () => {
      const codec = await set.load(method);
      const bytes = compressible(new Random(7), 2048);
      const compressed = codec.compress(bytes)!;
      let complete = 0;
      for (let length = 0; length < compressed.length; length++) {
        const result = await decompress(codec, compressed.subarray(0, length), bytes.length);
        if (result instanceof BlockError) expect(result.kind).toBe('corrupt');
        else {
          expectBytes(result, bytes);
          complete++;
        }
      }
      // Only what marks the end of a deflate stream can be missing.
      expect(complete).toBeLessThanOrEqual(method === 'deflate' ? 2 : 0);
    });

    it('bears garbage and flipped bits', async () => {
      const codec = await set.load(method);
      const random = new Random(8);
      const compressed = codec.compress(compressible(random, 2048))!;
      let refusals = 0;
      for (let round = 0; round < 300; round++) {
        const broken = random.chance(0.2) ? random.bytes(random.between(1, 600)) : compressed.slice();
        const at = random.below(broken.length);
        broken[at] = broken[at]! ^ (1 << random.below(8));
        const result = await decompress(codec, broken, 2048);
        if (result instanceof BlockError) {
          expect(result.kind).toBe('corrupt');
          refusals++;
        }
      }
      expect(refusals).toBeGreaterThan(50);
      expectBytes(await decompress(codec, compressed, 2048), compressible(new Random(8), 2048));
    });
  });

  describe(`${name}: frames of zstd`, () => {
    const size = 4096;
    const bytes = compressible(new Random(9), size);

    /** The blocks of a frame that portable compression made: its header has a size of two bytes. */
    async function blocks(): Promise<Uint8Array> {
      const frame = (await portableCompression.load('zstd')).compress(bytes)!;
      expect([...frame.subarray(0, 5)]).toEqual([0x28, 0xb5, 0x2f, 0xfd, 0x60]);
      return frame.subarray(7);
    }
    const frameOf = (header: readonly number[], body: Uint8Array): Uint8Array =>
      Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, ...header, ...body]);

    it('takes one that does not say how long it is, whatever its window', async () => {
      const codec = await set.load('zstd');
      const body = await blocks();
      for (const window of [0x10, 0x58, 0xa8, 0xff]) {
        expectBytes(await decompress(codec, padded(frameOf([0x00, window], body)), size), bytes);
      }
      expectBytes(await decompress(codec, frameOf([0x03, 0x58, 0, 0, 0, 0], body), size), bytes);
      expectBytes(await decompress(codec, frameOf([0xe0, 0, 16, 0, 0, 0, 0, 0, 0], body), size), bytes);
    });

    it('refuses what it says of itself before anything is allocated for it', async () => {
      const codec = await set.load('zstd');
      const body = await blocks();
      const cases: readonly (readonly [readonly number[], RegExp])[] = [
        [[0xe0, 0, 0, 0, 0, 0, 0, 0, 0x10], /goes on after 4096 bytes/],
        [[0xa0, 0xff, 0xff, 0xff, 0xff], /goes on after 4096 bytes/],
        [[0x60, 0, 0], /ends after 256 of 4096 bytes/],
        [[0x68, 0, 15], /reserved bit/],
        [[0x61, 7, 0, 15], /needs a dictionary/],
      ];
      for (const [header, message] of cases) {
        expect(await decompress(codec, frameOf(header, body), size)).toMatchObject(refused(message));
      }
      expect(await decompress(codec, new Uint8Array(512), size)).toMatchObject(refused(/magic number/));
      // A skippable frame, and blocks that stand for more than there may be, or are of a type that does not exist.
      const skippable = Uint8Array.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
      expect(await decompress(codec, skippable, size)).toMatchObject(refused(/magic number/));
      const run = [0xfb, 0xff, 0x0f, 0x41];
      expect(await decompress(codec, frameOf([0, 0x58], Uint8Array.from(run)), size)).toMatchObject(refused(/goes on/));
      expect(await decompress(codec, frameOf([0, 0x58], Uint8Array.from([7, 0, 0])), size)).toMatchObject(
        refused(/unknown type/),
      );
    });

    it('refuses a frame that is only the first of several', async () => {
      const codec = await set.load('zstd');
      const half = codec.compress(bytes.subarray(0, size / 2))!;
      const two = Uint8Array.from([...half, ...half]);
      expect(await decompress(codec, two, size)).toMatchObject(refused(/ends after 2048 of 4096 bytes/));
    });
  });
}

// ADC, bzip2 and LZFSE, as Apple's disk images have them. Streams of bzip2 are bzip2's own; the others are made by hand.
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { BlockError } from '../../src/block/error.ts';
import { decompressAdc } from '../../src/codec/adc.ts';
import { decompressBzip2 } from '../../src/codec/bzip2.ts';
import { decompressLzfse } from '../../src/codec/lzfse.ts';
import { patternedBytes, Random } from '../support/random.ts';
import { encodeAdc, lzfseMatches, lzfseRaw, lzfseStream, lzvnBlock } from '../support/apple-codecs.ts';

type Decompress = (data: Uint8Array, output: Uint8Array) => void;

const bytesOf = (text: string) => new TextEncoder().encode(text);
const concat = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));

function decompressed(decompress: Decompress, data: Uint8Array, length: number): Uint8Array {
  const output = new Uint8Array(length);
  decompress(data, output);
  return output;
}

/** Damage of any kind ends in a BlockError or in bytes, never in anything else. */
function expectOnlyBlockErrors(decompress: Decompress, data: Uint8Array, length: number): void {
  const random = new Random(7);
  let refused = 0;
  for (let round = 0; round < 400; round++) {
    const hostile = data.slice(0, random.chance(0.2) ? random.below(data.length) : data.length);
    for (let count = random.between(1, 4); count > 0 && hostile.length > 0; count--) {
      hostile[random.below(hostile.length)] = random.below(256);
    }
    try {
      decompress(hostile, new Uint8Array(length));
    } catch (error) {
      if (!(error instanceof BlockError) || error.kind !== 'corrupt') throw error;
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(20);
}

function refuses(decompress: Decompress, data: Uint8Array, length: number): void {
  expect(() => decompressed(decompress, data, length)).toThrow(BlockError);
}

describe('ADC', () => {
  it('has literals, short and long copies, overlapping ones too', () => {
    const stream = Uint8Array.of(0x82, 97, 98, 99, 0x04, 2, 0x40 + 6, 0, 6, 0x80, 33);
    expect(decompressed(decompressAdc, stream, 18)).toEqual(bytesOf('abcabcaabcabcaabc!'));
  });

  it('gives back what was encoded', () => {
    const text = concat(bytesOf('one two one two '.repeat(99)), patternedBytes(3, 0, 700), new Uint8Array(5000));
    expect(decompressed(decompressAdc, encodeAdc(text), text.length)).toEqual(text);
  });

  it('refuses streams that are too short, too long, or lead before the start', () => {
    refuses(decompressAdc, Uint8Array.of(0x81, 1, 2), 3);
    refuses(decompressAdc, Uint8Array.of(0x81, 1, 2), 1);
    refuses(decompressAdc, Uint8Array.of(0x80, 1, 0x00, 1), 4);
    refuses(decompressAdc, Uint8Array.of(0x83, 1), 4);
  });

  it('meets damage with errors', () => {
    const text = bytesOf('hostile '.repeat(300));
    expectOnlyBlockErrors(decompressAdc, encodeAdc(text), text.length);
  });
});

describe('bzip2', () => {
  const bzip2 = (data: Uint8Array, level = 9) =>
    new Uint8Array(execFileSync('bzip2', [`-${level}`, '-c'], { input: data, maxBuffer: 2 ** 26 }));
  const random = new Random(1);
  const noise = Uint8Array.from({ length: 250_000 }, () => random.below(256));
  const samples: readonly [string, Uint8Array, number][] = [
    ['text', bytesOf('she sells sea shells '.repeat(500)), 9],
    ['one byte', Uint8Array.of(7), 9],
    ['noise in several blocks', noise, 1],
    [
      'long runs, and runs that end where their count is',
      concat(new Uint8Array(300_000), bytesOf('aaaa'), bytesOf('bbbbb')),
      1,
    ],
    ['four bytes', bytesOf('aaaa'), 9],
  ];

  it.each(samples)('gives back %s', (_name, text, level) => {
    const found = decompressed(decompressBzip2, bzip2(text, level), text.length);
    expect(Buffer.compare(found, text)).toBe(0);
  });

  it('looks at the checksums, and refuses streams that are too short or too long', () => {
    const text = bytesOf('checksummed '.repeat(50));
    const stream = bzip2(text);
    refuses(decompressBzip2, stream, text.length - 1);
    refuses(decompressBzip2, stream, text.length + 1);
    const damaged = stream.slice();
    damaged[11]! ^= 1;
    expect(() => decompressed(decompressBzip2, damaged, text.length)).toThrow('the checksum of a block is wrong');
    const whole = stream.slice();
    whole[stream.length - 2]! ^= 0x10;
    expect(() => decompressed(decompressBzip2, whole, text.length)).toThrow(/checksum of the whole|ends too early/);
  });

  it('meets damage with errors', () => {
    const text = bytesOf('hostile '.repeat(300));
    expectOnlyBlockErrors(decompressBzip2, bzip2(text, 1), text.length);
  });
});

describe('LZFSE', () => {
  it('has blocks as they are, LZVN blocks and an end', () => {
    // Three literals and a copy of four; a long copy; a literal.
    const lzvn = Uint8Array.of(0xc8, 3, 97, 98, 99, 0xf0, 4, 0xe1, 33, 6, 0, 0, 0, 0, 0, 0, 0);
    const stream = lzfseStream(lzfseRaw(bytesOf('raw')), lzvnBlock(lzvn, 28));
    expect(decompressed(decompressLzfse, stream, 31)).toEqual(bytesOf(`raw${'abc'.repeat(9)}!`));
  });

  it('has every kind of LZVN operation', () => {
    const text = bytesOf('0123456789abcdef');
    const lzvn = concat(
      Uint8Array.of(0xe0, 0),
      text,
      // Medium: one literal, 5 bytes from 17 back. Large: two literals, 3 from 16 back. Again: one literal, 4 from as far back.
      Uint8Array.of(0xa8, (17 << 2) + 2, 0, 65),
      Uint8Array.of(0x87, 16, 0, 66, 67),
      Uint8Array.of(0x4e, 68),
      Uint8Array.of(0x0e, 0x16, 0xf2, 6),
    );
    const expected: number[] = [...text, 65];
    const copy = (distance: number, count: number) => {
      for (let index = 0; index < count; index++) expected.push(expected.at(-distance)!);
    };
    copy(17, 5);
    expected.push(66, 67);
    copy(16, 3);
    expected.push(68);
    copy(16, 4);
    copy(16, 2);
    const stream = lzfseStream(lzvnBlock(lzvn, expected.length));
    expect(decompressed(decompressLzfse, stream, expected.length)).toEqual(Uint8Array.from(expected));
  });

  it('has blocks coded with state tables', () => {
    const random = new Random(5);
    const text = concat(
      Uint8Array.from({ length: 3000 }, () => random.pick([97, 98, 99, 100, 255, 0])),
      bytesOf('and again, and again, and again'.repeat(30)),
    );
    const stream = lzfseStream(lzfseRaw(bytesOf('before')), lzfseMatches(text));
    expect(stream.length).toBeLessThan(text.length);
    expect(decompressed(decompressLzfse, stream, text.length + 6)).toEqual(concat(bytesOf('before'), text));
  });

  it('refuses unknown blocks, streams that are too short or too long, and operations that there are not', () => {
    refuses(decompressLzfse, bytesOf('bvx?00000000'), 1);
    const stream = lzfseStream(lzfseRaw(bytesOf('raw')));
    refuses(decompressLzfse, stream, 2);
    refuses(decompressLzfse, stream, 4);
    refuses(decompressLzfse, lzfseStream(lzvnBlock(Uint8Array.of(0x70, 0), 3)), 3);
    refuses(decompressLzfse, lzfseStream(lzvnBlock(Uint8Array.of(0xd8, 0), 3)), 3);
    refuses(decompressLzfse, lzfseStream(lzvnBlock(Uint8Array.of(0x1e, 0), 3)), 3);
  });

  it('meets damage with errors', () => {
    const text = bytesOf('a hostile stream, '.repeat(90));
    expectOnlyBlockErrors(decompressLzfse, lzfseStream(lzfseMatches(text)), text.length);
  });
});

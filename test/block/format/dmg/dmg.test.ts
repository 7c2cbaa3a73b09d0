// Images are made by hand (test/support/dmg-builder.ts); QEMU reads those whose codecs it has.
import { describe, expect, it } from 'vitest';
import { dmg } from '../../../../src/block/format/dmg/driver.ts';
import { decodeBase64 } from '../../../../src/codec/base64.ts';
import { startAsync } from '../../../../src/block/co.ts';
import { checkImage } from '../../../../src/block/image/check.ts';
import { crc32, crc32OfZeroes } from '../../../../src/codec/crc32.ts';
import { CHUNK, TABLE, TRAILER } from '../../../../src/block/format/dmg/layout.ts';
import { CountingStorage } from '../../../support/counting-storage.ts';
import { buildDmg, type BuiltChunk, type BuiltImage, type BuiltKind } from '../../../support/dmg-builder.ts';
import { describeWithQemu, qemuImg, TemporaryFolder } from '../../../support/qemu.ts';
import { patternedBytes, Random } from '../../../support/random.ts';
import { LastingStorage, openDisk } from '../../../support/scenario.ts';

const ALL: readonly BuiltKind[] = ['raw', 'zlib', 'zero', 'bzip2', 'lzfse', 'ignore', 'adc', 'lzma'];
const QEMUS: readonly BuiltKind[] = ['raw', 'zlib', 'zero', 'ignore'];

function chunksOf(random: Random, kinds: readonly BuiltKind[], count: number): BuiltChunk[] {
  return Array.from({ length: count }, (_, index) => {
    const kind = kinds[index % kinds.length]!;
    const data = new Uint8Array(512 * random.between(1, 40));
    if (kind !== 'zero' && kind !== 'ignore') data.set(patternedBytes(index + 1, 0, data.length >> 1));
    return { kind, data };
  });
}

const contentOf = (partitions: readonly (readonly BuiltChunk[])[]) =>
  new Uint8Array(Buffer.concat(partitions.flat().map(({ data }) => data)));

const opened = (bytes: Uint8Array) =>
  openDisk(dmg, new LastingStorage({ initial: bytes, readOnly: true }), { 'read-only': true });

describe.each(['plist', 'fork'] as const)('dmg with its tables in a %s', (as) => {
  it('reads chunks of every kind, whole and in parts', async () => {
    const random = new Random(1);
    const partitions = [chunksOf(random, ALL, 16), chunksOf(random, ALL.toReversed(), 9)];
    const content = contentOf(partitions);
    const { graph, disk } = await opened(buildDmg(partitions, as).bytes);
    expect(disk.length).toBe(content.length);
    const whole = new Uint8Array(content.length);
    await disk.read(0, whole);
    expect(Buffer.compare(whole, content)).toBe(0);
    for (let round = 0; round < 60; round++) {
      const offset = random.below(content.length);
      const part = new Uint8Array(random.between(1, Math.min(50_000, content.length - offset)));
      await disk.read(offset, part);
      expect(Buffer.compare(part, content.subarray(offset, offset + part.length))).toBe(0);
    }
    await graph.close(disk);
  });

  it('decodes a chunk once for many small reads', async () => {
    const image = buildDmg([[{ kind: 'zlib', data: patternedBytes(1, 0, 65_536) }]], as);
    const storage = new CountingStorage(new LastingStorage({ initial: image.bytes, readOnly: true }));
    const { graph, disk } = await openDisk(dmg, storage, { 'read-only': true });
    await disk.read(0, new Uint8Array(512));
    const { reads } = storage.counts;
    for (let offset = 0; offset < 65_536; offset += 4096) await disk.read(offset, new Uint8Array(4096));
    expect(storage.counts.reads).toBe(reads);
    await graph.close(disk);
  });
});

describe('dmg', () => {
  const sample = () => buildDmg([chunksOf(new Random(2), ALL, 7)], 'fork');

  it('is known by its trailer, not by its name alone', () => {
    const { bytes } = sample();
    const input = (head: Uint8Array, filename: string) => ({
      head,
      tail: bytes.subarray(-4096),
      size: bytes.length,
      filename,
    });
    expect(dmg.probe(input(bytes, 'disk.dmg'))).toBe(60);
    expect(dmg.probe(input(bytes, 'disk'))).toBe(50);
    expect(dmg.probe({ head: bytes, tail: new Uint8Array(4096), size: 4096, filename: 'a.dmg' })).toBe(0);
  });

  it('finds a trailer that zeroes follow', async () => {
    const { bytes } = sample();
    const padded = new Uint8Array(bytes.length + 300);
    padded.set(bytes);
    const { graph, disk } = await opened(padded);
    await graph.close(disk);
  });

  const damages: readonly [string, (image: BuiltImage, view: DataView) => void, RegExp][] = [
    ['no trailer', ({ trailer }, view) => view.setUint32(trailer, 0), /no 'koly' trailer/],
    [
      'the size of the trailer',
      ({ trailer }, view) => view.setUint32(trailer + TRAILER.headerSize, 4),
      /trailer says that it has 4 bytes/,
    ],
    ['parts', ({ trailer }, view) => view.setUint32(trailer + TRAILER.segmentCount, 3), /one of 3 parts/],
    [
      'the fork’s length',
      ({ trailer }, view) => view.setBigUint64(trailer + TRAILER.resourceForkLength, 2n ** 63n),
      /resource fork has \d+ bytes/,
    ],
    [
      'no tables',
      ({ trailer }, view) => view.setBigUint64(trailer + TRAILER.resourceForkLength, 0n),
      /neither a property list nor/,
    ],
    [
      'the data’s length',
      ({ tables }, view) => view.setUint32(tables.offset + 8, 0xffffffff),
      /data of the dmg image's resource fork ends/,
    ],
    [
      'a resource’s length',
      ({ tables }, view) => view.setUint32(tables.offset + 256, 0),
      /A resource of the dmg image has 0 bytes/,
    ],
    [
      'the number of chunks',
      ({ tables }, view) => view.setUint32(tables.offset + 260 + TABLE.chunkCount, 2 ** 31),
      /has 2147483648 chunks/,
    ],
    ['an unknown codec', (image, view) => view.setUint32(image.chunkAt(1), 0x80000009), /type 0x80000009/],
    [
      'the sectors of a chunk',
      (image, view) => view.setBigUint64(image.chunkAt(1) + CHUNK.sectorCount, 2n ** 60n),
      /more than a disk can have/,
    ],
    [
      'a bomb',
      (image, view) => view.setBigUint64(image.chunkAt(6) + CHUNK.sectorCount, 2n ** 20n),
      /becomes 536870912 bytes/,
    ],
    ['chunks that overlap', (image, view) => view.setBigUint64(image.chunkAt(1) + CHUNK.sector, 0n), /Two chunks/],
    [
      'the place of a chunk',
      (image, view) => view.setBigUint64(image.chunkAt(1) + CHUNK.offset, 2n ** 63n),
      /in the file, which ends at/,
    ],
    [
      'a short plain chunk',
      (image, view) => view.setBigUint64(image.chunkAt(0) + CHUNK.length, 511n),
      /and has only 511/,
    ],
  ];

  it.each(damages)('refuses by name: %s', async (_name, damage, message) => {
    const image = sample();
    damage(image, new DataView(image.bytes.buffer));
    await expect(opened(image.bytes)).rejects.toThrow(message);
  });

  it('says where a chunk is that cannot be decoded, and reads the others', async () => {
    const image = buildDmg(
      [
        [
          { kind: 'zlib', data: new Uint8Array(1024) },
          { kind: 'zlib', data: new Uint8Array(512).fill(7) },
        ],
      ],
      'fork',
    );
    image.bytes[512] = 0xff;
    const { graph, disk } = await opened(image.bytes);
    await expect((async () => disk.read(0, new Uint8Array(10)))()).rejects.toThrow(
      /chunk at offset 0 is compressed \(zlib\)/,
    );
    const part = new Uint8Array(512);
    await disk.read(1024, part);
    expect(part).toEqual(new Uint8Array(512).fill(7));
    await graph.close(disk);
  });

  const checked = async (bytes: Uint8Array) => {
    const { graph, disk } = await opened(bytes);
    const result = await startAsync(checkImage(graph, disk.node, 'none'));
    await graph.close(disk);
    return result;
  };

  it('compares its checksums', async () => {
    const image = sample();
    expect(await checked(image.bytes)).toMatchObject({ corruptions: 0, totalClusters: 7, findings: [] });
    // A chunk as it is: what is in the file and what it becomes are both other than they should be.
    image.bytes[600]! ^= 1;
    const { corruptions, findings } = await checked(image.bytes);
    expect(corruptions).toBe(2);
    expect(findings.map(({ message }) => message)).toEqual([
      expect.stringMatching(/^ERROR the data fork has the checksum 0x[\da-f]{8}, and should have 0x/),
      expect.stringMatching(/^ERROR table 0 of chunks has data with the checksum/),
    ]);
  });

  it('looks at the checksum at the end of a zlib chunk', async () => {
    const image = buildDmg([[{ kind: 'zlib', data: patternedBytes(1, 0, 4096) }]], 'fork');
    image.bytes[image.tables.offset - 1]! ^= 1;
    expect((await checked(image.bytes)).findings).toMatchObject([
      { message: expect.stringMatching(/data fork/) as string },
      { message: expect.stringMatching(/\(zlib\).*its checksum is not that/) as string },
    ]);
  });

  it('refuses an LZMA chunk that becomes more or less than it should, or is broken', async () => {
    const image = buildDmg([[{ kind: 'lzma', data: patternedBytes(1, 0, 4096) }]], 'fork');
    const view = new DataView(image.bytes.buffer);
    for (const [sectors, message] of [
      [7n, /goes on after 3584/],
      [9n, /ends after 4096 of 4608/],
    ] as const) {
      view.setBigUint64(image.chunkAt(0) + CHUNK.sectorCount, sectors);
      expect((await checked(image.bytes)).findings[0]?.message).toMatch(message);
    }
    view.setBigUint64(image.chunkAt(0) + CHUNK.sectorCount, 8n);
    image.bytes[1000]! ^= 1;
    expect((await checked(image.bytes)).findings.at(-1)?.message).toMatch(/xz stream is broken/);
  });

  it('knows the checksum of zeroes without looking at them', () => {
    for (const count of [0, 1, 7, 512, 65_537]) {
      expect(crc32OfZeroes(count, 0x12345678)).toBe(crc32(new Uint8Array(count), 0x12345678));
    }
    const half = crc32OfZeroes(2 ** 52, 99);
    expect(crc32OfZeroes(2 ** 53, 99)).toBe(crc32OfZeroes(2 ** 52, half));
  });

  it('does not make zeroes of what no chunk holds', async () => {
    const image = buildDmg(
      [
        [
          { kind: 'raw', data: new Uint8Array(512) },
          { kind: 'raw', data: new Uint8Array(512) },
        ],
      ],
      'fork',
    );
    new DataView(image.bytes.buffer).setBigUint64(image.chunkAt(1) + CHUNK.sector, 9n);
    const { graph, disk } = await opened(image.bytes);
    await expect((async () => disk.read(600, new Uint8Array(10)))()).rejects.toThrow(/No chunk/);
    await graph.close(disk);
  });

  it('decodes base64 as Node does, and refuses other letters', () => {
    for (let length = 0; length < 40; length++) {
      const bytes = patternedBytes(length + 1, 0, length);
      expect([...decodeBase64(Buffer.from(bytes).toString('base64').replaceAll(/.{5}/g, '$&\n\t'), 'It')]).toEqual([
        ...bytes,
      ]);
    }
    expect(() => decodeBase64('ab*d', 'It')).toThrow(/not base64/);
  });
});

describeWithQemu('dmg beside QEMU', () => {
  it.each(['plist', 'fork'] as const)('QEMU reads the same from plain, zlib and zero chunks (%s)', async (as) => {
    using folder = new TemporaryFolder();
    const partitions = [chunksOf(new Random(3), QEMUS, 9), chunksOf(new Random(4), QEMUS, 5)];
    folder.write('disk.dmg', buildDmg(partitions, as).bytes);
    await qemuImg('convert', '-f', 'dmg', '-O', 'raw', folder.file('disk.dmg'), folder.file('raw'));
    expect(Buffer.compare(folder.read('raw'), contentOf(partitions))).toBe(0);
  });
});

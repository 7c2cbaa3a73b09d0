// Archives are made by gzip, xz and Node's zlib; zip files by hand, or by zip where it is installed.
import { execFileSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { startAsync } from '../../../src/block/co.ts';
import { formatDrivers } from '../../../src/block/format/index.ts';
import { BlockGraph } from '../../../src/block/graph/graph.ts';
import { probeArchive, unpackImage, type UnpackSettings } from '../../../src/block/image/unpack.ts';
import { memoryProtocol } from '../../../src/block/protocol/memory/index.ts';
import { givenProtocol } from '../../support/given-storage.ts';
import { patternedBytes, Random } from '../../support/random.ts';
import { LastingStorage } from '../../support/scenario.ts';
import { makeZip, type ZippedFile } from '../../support/zip-builder.ts';

const IMAGE = new Uint8Array(
  Buffer.concat([patternedBytes(1, 0, 300_000), Buffer.alloc(3_000_000), patternedBytes(2, 0, 77_777)]),
);
const LIMIT = { limit: 2 ** 24 };
const TARGET = { driver: 'given', name: 'target' } as const;

function graphOf(packed: Uint8Array, target = new LastingStorage()): BlockGraph {
  const storages = new Map([
    ['disk.img.gz', new LastingStorage({ initial: packed, readOnly: true })],
    ['target', target],
  ]);
  const given = givenProtocol(storages);
  const protocols = [
    { ...given, create: async () => undefined, delete: async () => void storages.delete('target') },
    memoryProtocol,
  ];
  return new BlockGraph({ protocols, formats: formatDrivers, filters: [], defaultProtocol: 'given' });
}

const FILE = { driver: 'given', name: 'disk.img.gz' };

async function unpacked(packed: Uint8Array, settings: UnpackSettings = LIMIT): Promise<Uint8Array> {
  const target = new LastingStorage();
  const size = await startAsync(unpackImage(graphOf(packed, target), FILE, TARGET, { overwrite: true, ...settings }));
  const bytes = target.content.toBytes();
  expect(bytes.length).toBe(size);
  return bytes;
}

const same = (found: Uint8Array) => expect(Buffer.compare(found, IMAGE)).toBe(0);

const inZip = (name: string, data: Uint8Array = IMAGE, more: Partial<ZippedFile> = {}) =>
  makeZip([{ name, data, ...more }]);
const xz = (data: Uint8Array) => new Uint8Array(execFileSync('xz', ['-c'], { input: data, maxBuffer: 2 ** 26 }));

describe('unpacking', () => {
  it('gzip, with one member and with several, and zeroes behind', async () => {
    same(await unpacked(new Uint8Array(gzipSync(IMAGE))));
    const members = [IMAGE.subarray(0, 9), IMAGE.subarray(9, 400_000), IMAGE.subarray(400_000)].map((part) =>
      gzipSync(part),
    );
    same(await unpacked(new Uint8Array(Buffer.concat([...members, Buffer.alloc(700)]))));
  });

  it('xz, with one stream and with several, and padding between and behind them', async () => {
    same(await unpacked(xz(IMAGE)));
    const streams = [IMAGE.subarray(0, 9), new Uint8Array(), IMAGE.subarray(9, 400_000), IMAGE.subarray(400_000)].map(
      xz,
    );
    same(await unpacked(new Uint8Array(Buffer.concat(streams))));
    const padded = streams.flatMap((stream, index) => [stream, Buffer.alloc(index * 40_000)]);
    same(await unpacked(new Uint8Array(Buffer.concat(padded))));
  });

  it('zip: packed, stored, with 64-bit sizes, and one file of several', async () => {
    same(await unpacked(inZip('disk.img')));
    same(await unpacked(inZip('disk.img', IMAGE, { method: 0 })));
    same(await unpacked(makeZip([{ name: 'disk.img', data: IMAGE }], true)));
    const several = makeZip([
      { name: 'folder/', data: new Uint8Array(), method: 0 },
      { name: 'folder/readme', data: new Uint8Array(10) },
      { name: 'folder/disk.img', data: IMAGE },
    ]);
    same(await unpacked(several));
    expect(await unpacked(several, { ...LIMIT, entry: 'folder/readme' })).toEqual(new Uint8Array(10));
    await expect(unpacked(several, { ...LIMIT, entry: 'other' })).rejects.toMatchObject({ kind: 'not-found' });
  });

  it('writes no zeroes, and reports how far it is', async () => {
    const target = new LastingStorage();
    const reports: number[] = [];
    const progress = { report: (done: number, total: number) => void reports.push(done / total) };
    await startAsync(
      unpackImage(graphOf(new Uint8Array(gzipSync(IMAGE)), target), FILE, TARGET, {
        ...LIMIT,
        overwrite: true,
        progress,
      }),
    );
    expect(target.content.storedBytes).toBeLessThan(1_200_000);
    expect(reports.at(-1)).toBe(1);
    expect(reports).toEqual(reports.toSorted((a, b) => a - b));
  });

  it('stops when whoever watches gives up, and leaves no file', async () => {
    const progress = {
      report: () => {
        throw new Error('enough');
      },
    };
    const graph = graphOf(new Uint8Array(gzipSync(IMAGE)));
    await expect(startAsync(unpackImage(graph, FILE, TARGET, { ...LIMIT, overwrite: true, progress }))).rejects.toThrow(
      'enough',
    );
    await expect(startAsync(probeArchive(graph, { driver: 'given', name: 'target' }))).rejects.toThrow();
  });

  it('refuses bombs: what a file says, and what it becomes', async () => {
    const bomb = new Uint8Array(gzipSync(Buffer.alloc(2 ** 25)));
    await expect(unpacked(bomb)).rejects.toMatchObject({
      kind: 'invalid',
      message: expect.stringMatching(/limit/) as string,
    });
    await expect(unpacked(inZip('a', IMAGE, { size: 2 ** 30 }))).rejects.toThrow(/says that it becomes 1073741824/);
    // One that lies about its size is stopped at the limit, not at the end.
    await expect(unpacked(inZip('a', new Uint8Array(2 ** 25), { size: 5 }))).rejects.toThrow(/limit/);
    await expect(unpacked(xz(new Uint8Array(2 ** 25)))).rejects.toThrow(/says that it becomes 33554432/);
    // An xz stream that was given up lets the next one go on.
    await expect(unpacked(xz(IMAGE), { limit: 5 })).rejects.toThrow(/limit/);
    same(await unpacked(xz(IMAGE)));
  });

  it('refuses what is broken, cut off, encrypted or packed otherwise', async () => {
    const gzip = new Uint8Array(gzipSync(IMAGE));
    await expect(unpacked(gzip.subarray(0, -5))).rejects.toThrow(/ends too early/);
    const damaged = gzip.slice();
    damaged[damaged.length - 6]! ^= 1;
    await expect(unpacked(damaged)).rejects.toThrow(/gzip stream is broken/);
    await expect(unpacked(new Uint8Array(Buffer.concat([gzip, Buffer.from('more')])))).rejects.toThrow(
      /something else/,
    );
    const packedXz = xz(IMAGE);
    await expect(unpacked(packedXz.subarray(0, (packedXz.length >> 3) * 4))).rejects.toThrow(/no footer/);
    // The end is right, and half of it is missing.
    const cut = Buffer.concat([packedXz.subarray(0, 5000), packedXz.subarray(-4000)]);
    await expect(unpacked(new Uint8Array(cut))).rejects.toMatchObject({ name: 'BlockError' });
    const behind = (...parts: Uint8Array[]) => unpacked(new Uint8Array(Buffer.concat(parts)));
    await expect(behind(packedXz, Buffer.alloc(3))).rejects.toThrow(/no multiple of four/);
    await expect(behind(packedXz, Buffer.from('more'))).rejects.toThrow(/something follows/);
    await expect(behind(Buffer.alloc(4), packedXz)).rejects.toThrow(/no gzip, xz or zip/);
    await expect(behind(packedXz.subarray(0, 40), packedXz)).rejects.toThrow(/no footer/);
    await expect(behind(packedXz.subarray(0, 12), Buffer.alloc(100))).rejects.toThrow(/no footer|too short/);
    packedXz[packedXz.length >> 1]! ^= 0xff;
    await expect(unpacked(packedXz)).rejects.toMatchObject({ kind: 'corrupt' });
    const zipped = inZip('a', IMAGE.subarray(0, 5000));
    await expect(unpacked(zipped.subarray(0, -30))).rejects.toThrow(/no directory/);
    zipped[zipped.length - 22 - 46 - 1 + 16]! ^= 1;
    await expect(unpacked(zipped)).rejects.toThrow(/checksum/);
    await expect(unpacked(inZip('a', IMAGE, { flags: 1 }))).rejects.toThrow(/encrypted/);
    await expect(unpacked(inZip('a', IMAGE, { method: 12 }))).rejects.toThrow(/method 12/);
    await expect(unpacked(new Uint8Array(512))).rejects.toThrow(/no gzip, xz or zip/);
  });

  it('meets damage of any kind with BlockErrors', async () => {
    const random = new Random(3);
    const small = IMAGE.subarray(290_000, 310_000);
    for (const archive of [
      new Uint8Array(gzipSync(small)),
      inZip('a', small),
      makeZip([{ name: 'a', data: small }], true),
    ]) {
      for (let round = 0; round < 25; round++) {
        const hostile = archive.slice(0, random.chance(0.2) ? random.below(archive.length) : archive.length);
        for (let count = random.between(1, 3); count > 0 && hostile.length > 0; count--) {
          const at = random.chance(0.5)
            ? Math.max(0, hostile.length - 1 - random.below(120))
            : random.below(hostile.length);
          hostile[at] = random.pick([0, 255, random.below(256)]);
        }
        const result = await unpacked(hostile).catch((error: unknown) => error);
        if (!(result instanceof Uint8Array))
          expect(result).toMatchObject({ name: 'BlockError', kind: expect.not.stringMatching('internal') as string });
      }
    }
  });

  it('says what a file is, and gives no name that leads elsewhere', async () => {
    const probe = (bytes: Uint8Array) => startAsync(probeArchive(graphOf(bytes), FILE));
    const gzip = new Uint8Array(gzipSync(IMAGE));
    expect(await probe(gzip)).toEqual({
      kind: 'gzip',
      name: 'disk.img',
      packedSize: gzip.length,
      size: undefined,
      entries: [],
    });
    expect(await probe(inZip('../../etc/passwd'))).toMatchObject({
      kind: 'zip',
      name: 'passwd',
      size: IMAGE.length,
      entries: [{ name: '../../etc/passwd', size: IMAGE.length }],
    });
    expect(await probe(xz(IMAGE))).toMatchObject({ kind: 'xz', size: IMAGE.length });
    expect(await probe(inZip('..'))).toMatchObject({ name: 'image' });
    expect(await probe(IMAGE)).toBeUndefined();
    expect(await probe(new Uint8Array())).toBeUndefined();
  });
});

import { describe, expect, it } from 'vitest';
import { startAsync } from '../../../../src/block/co.ts';
import { BlockError } from '../../../../src/block/error.ts';
import { findExtension } from '../../../../src/block/format/qcow2/extensions.ts';
import { checkFeatures } from '../../../../src/block/format/qcow2/features.ts';
import {
  backingFileOf,
  backingFormatOf,
  decodeHeader,
  encodeHeader,
  placeBackingFile,
  readHeader,
  type Qcow2Header,
} from '../../../../src/block/format/qcow2/header.ts';
import { EXTENSION, FIELD, HEADER_LENGTH_V2 } from '../../../../src/block/format/qcow2/layout.ts';
import { Qcow2File } from '../../../support/qcow2-file.ts';
import { SimulatedStorage } from '../../../support/simulated-storage.ts';
import { StorageChild } from '../../../support/storage-child.ts';

const MiB = 2 ** 20;

function decode(file: Qcow2File): Qcow2Header {
  const bytes = file.bytes.toBytes();
  const header = decodeHeader(bytes, bytes.length);
  if (header === undefined) throw new Error('the header was not complete');
  return header;
}

function refusal(file: Qcow2File): BlockError {
  try {
    checkFeatures(decode(file));
  } catch (error) {
    if (error instanceof BlockError) return error;
    throw error;
  }
  throw new Error('the header was accepted');
}

describe('a header that is read and written again', () => {
  it.each([
    { size: MiB },
    { size: MiB, compat: '0.10' },
    { size: 0 },
    { size: MiB, cluster_size: 512, refcount_bits: 1 },
    { size: MiB, backing_file: 'bäse.img', backing_fmt: 'raw' },
    { size: MiB, backing_file: 'base.img', backing_fmt: 'qcow2', compat: '0.10' },
    { size: MiB, lazy_refcounts: true, cluster_size: 2 * MiB },
  ])('is the same: %o', async (options) => {
    const file = await Qcow2File.create(options);
    const encoded = encodeHeader(decode(file));
    expect(file.bytes.toBytes().subarray(0, encoded.length)).toEqual(encoded);
  });

  it('keeps unknown extensions and unknown fields byte for byte', async () => {
    const file = await Qcow2File.create({ size: MiB, backing_file: 'base.img', backing_fmt: 'raw' });
    const known = decode(file);
    const strange = {
      ...known,
      headerLength: 128,
      additionalFields: Uint8Array.from({ length: 24 }, (_byte, index) => (index === 0 ? 0 : index)),
      extensions: [...known.extensions, { type: 0x12345678, data: Uint8Array.of(1, 2, 3, 4, 5) }],
    };
    const bytes = encodeHeader(placeBackingFile(strange));
    const again = decodeHeader(bytes, 10 * MiB)!;
    expect(again.additionalFields).toEqual(strange.additionalFields);
    expect(findExtension(again.extensions, 0x12345678)).toEqual(Uint8Array.of(1, 2, 3, 4, 5));
    expect(backingFileOf(again)).toBe('base.img');
    expect(backingFormatOf(again)).toBe('raw');
    expect(encodeHeader(again)).toEqual(bytes);
  });

  it('is read from a file with one request, and with a second one only if it is long', async () => {
    const file = await Qcow2File.create({ size: MiB, backing_file: 'base.img', backing_fmt: 'raw' });
    const header = decode(file);
    const long = { ...header, extensions: [...header.extensions, { type: 7, data: new Uint8Array(9000).fill(7) }] };
    file.bytes.write(0, encodeHeader(placeBackingFile(long)));
    const storage = new SimulatedStorage({ initial: file.bytes });
    const read = await startAsync(readHeader(new StorageChild(storage, file.bytes.length)));
    expect(findExtension(read.extensions, 7)).toHaveLength(9000);
    expect(backingFileOf(read)).toBe('base.img');
  });

  it('does not fit into a small cluster with a long name', async () => {
    const header = decode(await Qcow2File.create({ size: MiB, cluster_size: 512 }));
    const named = { ...header, backingFileName: new Uint8Array(500).fill(65) };
    expect(() => placeBackingFile(named)).toThrow(/takes 620 bytes; a cluster has 512/);
  });
});

describe('fields that cannot be', () => {
  const cases: readonly [string, (file: Qcow2File) => unknown, BlockError['kind'], RegExp][] = [
    ['magic', (file) => file.setUint32(FIELD.magic, 0x51464900), 'corrupt', /no qcow2 file/],
    ['version 1', (file) => file.setUint32(FIELD.version, 1), 'unsupported', /version 1/],
    ['version 4', (file) => file.setUint32(FIELD.version, 4), 'unsupported', /version 4/],
    ['cluster_bits 8', (file) => file.setUint32(FIELD.clusterBits, 8), 'corrupt', /'cluster_bits' is 8/],
    ['cluster_bits 22', (file) => file.setUint32(FIELD.clusterBits, 22), 'corrupt', /'cluster_bits' is 22/],
    ['cluster_bits huge', (file) => file.setUint32(FIELD.clusterBits, 0xffffffff), 'corrupt', /'cluster_bits'/],
    ['header_length short', (file) => file.setUint32(FIELD.headerLength, 96), 'corrupt', /'header_length' is 96/],
    ['header_length odd', (file) => file.setUint32(FIELD.headerLength, 108), 'corrupt', /'header_length' is 108/],
    ['header_length long', (file) => file.setUint32(FIELD.headerLength, 65544), 'corrupt', /'header_length' is 65544/],
    ['refcount_order', (file) => file.setUint32(FIELD.refcountOrder, 7), 'corrupt', /'refcount_order' is 7/],
    ['size', (file) => file.setUint64(FIELD.size, 2n ** 53n), 'unsupported', /'size' is 2\^53 or more/],
    ['size of all ones', (file) => file.setUint64(FIELD.size, 2n ** 64n - 1n), 'unsupported', /'size'/],
    ['l1_size', (file) => file.setUint32(FIELD.l1Size, 0), 'corrupt', /'l1_size' is 0; it must be at least 1/],
    ['l1_size huge', (file) => file.setUint32(FIELD.l1Size, 4194305), 'corrupt', /'l1_size' is 4194305.*32 MiB/],
    ['l1 unaligned', (file) => file.setUint64(FIELD.l1TableOffset, 512), 'corrupt', /'l1_table_offset' is 512/],
    ['l1 in the header', (file) => file.setUint64(FIELD.l1TableOffset, 0), 'corrupt', /'l1_table_offset' is 0/],
    ['l1 outside', (file) => file.setUint64(FIELD.l1TableOffset, 65536 * 999), 'corrupt', /cut off/],
    ['l1 far outside', (file) => file.setUint64(FIELD.l1TableOffset, 2n ** 63n), 'unsupported', /'l1_table_offset'/],
    [
      'refcount table unaligned',
      (file) => file.setUint64(FIELD.refcountTableOffset, 1),
      'corrupt',
      /refcount_table_offset/,
    ],
    ['refcount table huge', (file) => file.setUint32(FIELD.refcountTableClusters, 129), 'corrupt', /8 MiB/],
    ['snapshots_offset', (file) => file.setUint32(FIELD.nbSnapshots, 1), 'corrupt', /'snapshots_offset' is 0/],
    ['backing in the header', (file) => file.setUint64(FIELD.backingFileOffset, 8), 'corrupt', /'backing_file_offset'/],
    ['backing outside', (file) => file.setUint64(FIELD.backingFileOffset, 65537), 'corrupt', /'backing_file_offset'/],
    [
      'backing name long',
      (file) => file.setUint64(FIELD.backingFileOffset, 4096).setUint32(FIELD.backingFileSize, 1024),
      'corrupt',
      /'backing_file_size' is 1024; it must be at most 1023/,
    ],
    ['extension too long', (file) => file.setUint32(116, 65536), 'corrupt', /0x6803f857 says that it has 65536 bytes/],
    ['other encryption', (file) => file.setUint32(FIELD.cryptMethod, 3), 'unsupported', /encryption method 3/],
    [
      'extended L2',
      (file) => file.setUint64(FIELD.incompatibleFeatures, 16n).setUint32(FIELD.clusterBits, 13),
      'corrupt',
      /at least 14 \(16 KiB\) in an image with extended L2 entries/,
    ],
    ['compression bit', (file) => file.setUint64(FIELD.incompatibleFeatures, 8n), 'corrupt', /'compression_type' is 0/],
    [
      'compression type',
      (file) => file.setUint32(FIELD.compressionType, 0x01000000),
      'corrupt',
      /'compression_type' is 1/,
    ],
    [
      'unknown compression',
      (file) => file.setUint64(FIELD.incompatibleFeatures, 8n).setUint32(FIELD.compressionType, 0x02000000),
      'unsupported',
      /compression type 2/,
    ],
    [
      'unknown features',
      (file) => file.setUint64(FIELD.incompatibleFeatures, (1n << 63n) | (1n << 5n)),
      'unsupported',
      /incompatible feature bit 5, incompatible feature bit 63/,
    ],
  ];

  it.each(cases)('%s', async (_name, damage, kind, message) => {
    const file = await Qcow2File.create({ size: MiB });
    damage(file);
    const error = refusal(file);
    expect(error.message).toMatch(message);
    expect(error.kind).toBe(kind);
  });

  it('names an unknown feature as the image does', async () => {
    const file = await Qcow2File.create({ size: MiB });
    // The second entry of the table is about bit 1: now it is about bit 9.
    const entry = 112 + 8 + 48;
    file.bytes.write(entry, Uint8Array.of(0, 9, ...new TextEncoder().encode('time travel\u0007\0')));
    file.setUint64(FIELD.incompatibleFeatures, 1n << 9n);
    expect(refusal(file).message).toBe(
      "The image uses features that are not known here: 'time travel' (incompatible feature bit 9)",
    );
  });

  it('an extension that comes twice', async () => {
    const header = decode(await Qcow2File.create({ size: MiB }));
    const [extension] = header.extensions;
    const bytes = encodeHeader({ ...header, extensions: [extension!, extension!] });
    expect(() => decodeHeader(bytes, MiB)).toThrow(/0x6803f857 is there twice/);
  });

  it('a backing format longer than any', async () => {
    const header = decode(await Qcow2File.create({ size: MiB }));
    const bytes = encodeHeader({
      ...header,
      extensions: [{ type: EXTENSION.backingFormat, data: new Uint8Array(16) }],
    });
    expect(() => decodeHeader(bytes, MiB)).toThrow(/has 16 bytes; the limit is 15/);
  });

  it('a file that ends inside its header', async () => {
    const file = await Qcow2File.create({ size: MiB });
    const bytes = file.bytes.toBytes();
    expect(() => decodeHeader(bytes.subarray(0, 71), 71)).toThrow(/at least 72 bytes/);
    expect(() => decodeHeader(bytes.subarray(0, 103), 103)).toThrow(/at least 104 bytes/);
    const short = new SimulatedStorage({ initial: bytes.subarray(0, 300) });
    await expect(startAsync(readHeader(new StorageChild(short, 300)))).rejects.toThrow(/cut off/);
  });

  it('version 2 has none of the later fields', async () => {
    const file = await Qcow2File.create({ size: MiB, compat: '0.10' });
    const header = decode(file);
    expect(header).toMatchObject({
      version: 2,
      headerLength: HEADER_LENGTH_V2,
      refcountOrder: 4,
      incompatibleFeatures: 0n,
    });
  });
});

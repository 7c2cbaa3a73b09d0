import { describe, expect, it } from 'vitest';
import { qcow } from '../../../../src/block/format/qcow/driver.ts';
import { FIELD } from '../../../../src/block/format/qcow/layout.ts';
import type { ImageNode } from '../../../../src/block/graph/image-node.ts';
import { expectRefused, refusal } from '../../../support/header-fields.ts';
import { LastingStorage, makeImage, openDisk } from '../../../support/scenario.ts';
import { SimulatedStorage } from '../../../support/simulated-storage.ts';

const MiB = 2 ** 20;
const image = async (): Promise<Uint8Array> =>
  (await makeImage(qcow, { size: 10 * MiB, backing_file: 'base', backing_fmt: 'raw' })).toBytes();

const damages: readonly [string, (view: DataView) => void][] = [
  ['not in qcow format', (view) => view.setUint32(FIELD.magic, 0)],
  ['not in qcow format', (view) => view.setUint32(FIELD.version, 2)],
  ['size 1', (view) => view.setBigUint64(FIELD.size, 1n)],
  ['size 9223372036854775808', (view) => view.setBigUint64(FIELD.size, 1n << 63n)],
  ['needs an L1 table of 34359738368 bytes', (view) => view.setBigUint64(FIELD.size, 2n ** 53n - 512n)],
  ['l1_table_offset', (view) => view.setBigUint64(FIELD.size, 1n << 40n)],
  ['cluster_bits 8', (view) => view.setUint8(FIELD.clusterBits, 8)],
  ['cluster_bits 17', (view) => view.setUint8(FIELD.clusterBits, 17)],
  ['l2_bits 5', (view) => view.setUint8(FIELD.l2Bits, 5)],
  ['l2_bits 14', (view) => view.setUint8(FIELD.l2Bits, 14)],
  ['crypt_method 2', (view) => view.setUint32(FIELD.cryptMethod, 2)],
  ['l1_table_offset 8', (view) => view.setBigUint64(FIELD.l1TableOffset, 8n)],
  ['l1_table_offset 1048576', (view) => view.setBigUint64(FIELD.l1TableOffset, 2n ** 20n)],
  ['backing_file_size 1024', (view) => view.setUint32(FIELD.backingFileSize, 1024)],
  ['backing_file_offset 4', (view) => view.setBigUint64(FIELD.backingFileOffset, 4n)],
];

describe('a qcow header', () => {
  it.each(damages)('is refused by the name of what is wrong: %s', async (words, change) => {
    await expectRefused(qcow, await image(), change, words);
  });

  it('that was cut off is refused', async () => {
    for (const length of [0, 4, 40, 60]) {
      expect((await refusal(qcow, (await image()).slice(0, length)))?.kind, String(length)).toBe('corrupt');
    }
  });

  it('is told from that of qcow2', async () => {
    const head = await image();
    const probe = { head, tail: head, size: head.length, filename: 'a' };
    expect(qcow.probe(probe)).toBe(100);
    head[FIELD.version + 3] = 2;
    expect(qcow.probe(probe)).toBe(0);
  });
});

describe('an L2 entry of qcow', () => {
  const L1 = 48;

  async function written(): Promise<Uint8Array> {
    const storage = new LastingStorage({ initial: await makeImage(qcow, { size: MiB }) });
    const { graph, disk } = await openDisk(qcow, storage);
    await disk.write(0, new Uint8Array(8192).fill(7));
    await graph.close(disk);
    return storage.content.toBytes();
  }

  it.each([
    ['leads to 4096 bytes at 8', 8n],
    ['leads to 4096 bytes at 1048576', 2n ** 20n],
    ['compressed to 0 bytes', (1n << 63n) + 4096n],
    ['leads to 100 bytes at 1048576', (1n << 63n) + (100n << 51n) + 2n ** 20n],
    ['cannot be read: ', (1n << 63n) + (100n << 51n) + 8192n],
  ])('that %s is refused', async (words, entry) => {
    const bytes = await written();
    const view = new DataView(bytes.buffer);
    view.setBigUint64(Number(view.getBigUint64(L1)), entry);
    const storage = new SimulatedStorage({ initial: bytes, readOnly: true });
    const { graph, disk } = await openDisk(qcow, storage, { 'read-only': true });
    const buffer = new Uint8Array(512).fill(1);
    await expect((async () => disk.read(0, buffer))()).rejects.toThrow(words);
    await graph.close(disk);
  });

  it('of an L1 table that is not on a multiple of 8 can be read, not written', async () => {
    const bytes = await written();
    const moved = new Uint8Array(bytes.length + 64);
    moved.set(bytes);
    moved.set(bytes.subarray(L1, L1 + 8), L1 + 4);
    new DataView(moved.buffer).setBigUint64(FIELD.l1TableOffset, BigInt(L1 + 4));
    expect(await refusal(qcow, moved)).toBeUndefined();
    await expect(openDisk(qcow, new LastingStorage({ initial: moved }))).rejects.toThrow('not a multiple of 8');
  });
});

describe('an emptied qcow image', () => {
  it('shows its backing file again, is short again, and can be written', async () => {
    const storage = new LastingStorage({ initial: await image() });
    const base = new SimulatedStorage({ initial: new Uint8Array(10 * MiB).fill(5), readOnly: true });
    const length = storage.content.length;
    const { graph, disk } = await openDisk(qcow, storage, {}, base);
    await disk.write(4096, new Uint8Array(4096).fill(7));
    await disk.write(MiB, new Uint8Array(65_536).fill(8), { compressed: true });
    await disk.flush();
    await (disk.node as ImageNode).image.makeEmpty!();
    expect(storage.content.length).toBeLessThanOrEqual(length);
    const buffer = new Uint8Array(2 * MiB);
    await disk.read(0, buffer);
    expect(buffer.every((byte) => byte === 5)).toBe(true);
    await disk.write(MiB, new Uint8Array(4096).fill(9), { compressed: true });
    await disk.read(MiB, buffer.subarray(0, 8192));
    expect([buffer[0], buffer[4095], buffer[4096]]).toEqual([9, 9, 5]);
    await graph.close(disk);
  });
});

import { beforeEach, describe, expect, it } from 'vitest';
import { startAsync } from '../../../../src/block/co.ts';
import { SE_SPARSE } from '../../../../src/block/format/vmdk/layout.ts';
import { checkImage } from '../../../../src/block/image/check.ts';
import { descriptorText, seSparseExtent } from '../../../support/vmdk-fixture.ts';
import { VmdkFolder } from '../../../support/vmdk-memory.ts';

const GRAIN = 4096;
/** Where the fixture has its first grain table. */
const TABLE = 4097 * 512;

describe('a SESPARSE extent', () => {
  let folder: VmdkFolder;
  let extent: Uint8Array<ArrayBuffer>;
  let view: DataView;

  beforeEach(async () => {
    folder = new VmdkFolder();
    extent = seSparseExtent(80, { 0: 0, 1: 1, 3: 'unmapped', 4: 'zero', 5: 3 });
    view = new DataView(extent.buffer);
    await folder.put('d.vmdk', descriptorText('seSparse', ['RW 80 SESPARSE "e.vmdk"']));
  });

  async function open() {
    await folder.put('e.vmdk', extent);
    return folder.open('d.vmdk', { 'read-only': true });
  }

  it('shows its grains, zeroes, and what is not there', async () => {
    const disk = await open();
    const firsts = await Promise.all([0, 1, 2, 3, 4, 5, 9].map((grain) => folder.read(disk, grain * GRAIN, GRAIN)));
    expect(firsts.map((bytes) => bytes[0])).toEqual([1, 2, 0, 0, 0, 4, 0]);
    expect(firsts.every((bytes) => bytes.every((value) => value === bytes[0]))).toBe(true);
    await folder.graph.close(disk);
  });

  it('is only read', async () => {
    await folder.put('e.vmdk', extent);
    await expect(folder.open('d.vmdk')).rejects.toThrow('SESPARSE extents are only read');
  });

  it.each([
    ['magic', 1n, 'corrupt', 'does not begin as'],
    ['version', 1n, 'unsupported', 'are not known'],
    ['grainSize', 16n, 'unsupported', 'are not known'],
    ['tableSize', 32n, 'unsupported', 'are not known'],
    ['flags', 1n, 'unsupported', 'are not known'],
    ['capacity', 79n, 'corrupt', 'says 40448 bytes'],
    ['volatileHeader', 9n, 'corrupt', 'has no volatile header'],
    ['directory', 2n ** 40n, 'corrupt', 'directory behind the end'],
    ['grains', 2n ** 60n, 'corrupt', 'grains_offset .* beyond 2\\^53'],
  ] as const)('with %s %i is refused', async (field, value, kind, message) => {
    view.setBigUint64(SE_SPARSE[field], value, true);
    await expect(open()).rejects.toMatchObject({ kind, message: expect.stringMatching(new RegExp(message)) as string });
  });

  it('whose journal must be replayed is refused', async () => {
    view.setUint8(512 + 24, 1);
    await expect(open()).rejects.toThrow('replaying its journal is not supported');
  });

  it.each([
    ['of an unknown kind', 7n << 60n],
    ['behind the end', (3n << 60n) + 1000n],
    ['far behind the end', 2n ** 62n - 1n],
    ['unallocated that says more', 1n],
  ])('with an entry %s is corrupt there, and a check says so', async (_, entry) => {
    view.setBigUint64(TABLE + 2 * 8, entry, true);
    const disk = await open();
    await expect(folder.read(disk, 2 * GRAIN, 512)).rejects.toMatchObject({ kind: 'corrupt' });
    expect((await folder.read(disk, 0, 512))[0]).toBe(1);
    const { corruptions } = await startAsync(checkImage(folder.graph, disk.node, 'none'));
    expect(corruptions).toBeGreaterThan(0);
    await folder.graph.close(disk);
  });

  it('whose directory leads nowhere is corrupt', async () => {
    for (const entry of [2n << 60n, (1n << 60n) + 1000n]) {
      view.setBigUint64(4096 * 512, entry, true);
      const disk = await open();
      await expect(folder.read(disk, 0, 512)).rejects.toMatchObject({ kind: 'corrupt' });
      await folder.graph.close(disk);
    }
  });
});

import { beforeEach, describe, expect, it } from 'vitest';
import { COWD, SPARSE } from '../../../../src/block/format/vmdk/layout.ts';
import { cowdExtent, descriptorText } from '../../../support/vmdk-fixture.ts';
import { VmdkFolder } from '../../../support/vmdk-memory.ts';

const MiB = 2 ** 20;
const MAX = 2n ** 64n - 1n;

describe('the header of a sparse extent', () => {
  let folder: VmdkFolder;
  let image: Uint8Array<ArrayBuffer>;
  let view: DataView;

  beforeEach(async () => {
    folder = new VmdkFolder();
    await folder.create('a.vmdk', 3 * MiB);
    image = await folder.bytes('a.vmdk');
    view = new DataView(image.buffer);
  });

  async function refuses(kind: string, message: string | RegExp, options = {}): Promise<void> {
    await folder.put('a.vmdk', image);
    await expect(folder.open('a.vmdk', options)).rejects.toMatchObject({
      kind,
      message: expect.stringMatching(message) as string,
    });
  }

  it.each([
    ['version', 0, 'unsupported', 'Unsupported VMDK version 0'],
    ['version', 4, 'unsupported', 'Unsupported VMDK version 4'],
    ['entriesPerTable', 0, 'corrupt', 'grain tables of 0 entries'],
    ['entriesPerTable', 513, 'corrupt', 'numGTEsPerGT 513'],
    ['entriesPerTable', 100, 'corrupt', 'no power of two'],
    ['newlines', 0x0d0a, 'corrupt', 'transferred as text'],
  ] as const)('with %s %i is refused', async (field, value, kind, message) => {
    view.setUint32(SPARSE[field], value, true);
    await refuses(kind, message);
  });

  it.each([
    ['capacity', MAX, 'corrupt', 'capacity .* beyond 2\\^53'],
    ['capacity', 2n ** 42n, 'unsupported', 'grain directory has \\d+ entries'],
    ['capacity', 2n ** 36n, 'corrupt', 'grain directory at \\d+, where it cannot be'],
    ['grainSize', 0n, 'corrupt', 'grains of 0 sectors'],
    ['grainSize', 3n, 'corrupt', 'grains of 3 sectors'],
    ['grainSize', 2n ** 22n, 'corrupt', 'grains of 4194304 sectors'],
    ['descriptorSize', 0n, 'corrupt', 'descriptor of 0 bytes'],
    ['descriptorSize', 2n ** 12n, 'corrupt', 'descriptor of 2097152 bytes'],
    ['descriptorOffset', 2n ** 30n, 'corrupt', 'descriptor behind the end'],
    ['descriptorOffset', 0n, 'unsupported', 'There is no descriptor'],
    ['directory', MAX, 'corrupt', 'no(ne| place)|footer'],
  ] as const)('with %s %i is refused', async (field, value, kind, message) => {
    view.setBigUint64(SPARSE[field], value, true);
    await refuses(kind, new RegExp(message));
  });

  it('with a compression that nobody knows is refused', async () => {
    view.setUint16(SPARSE.compression, 2, true);
    await refuses('unsupported', 'compression method 2');
  });

  it('of version 3 that is not compressed is only read, as QEMU reads it', async () => {
    view.setUint32(SPARSE.version, 3, true);
    await refuses('unsupported', 'cannot be written: an image of version 3');
    const disk = await folder.open('a.vmdk', { 'read-only': true });
    expect(disk.length).toBe(3 * MiB);
    await folder.graph.close(disk);
  });

  it('that was cut off inside the tables is refused where they are needed', async () => {
    image = image.slice(0, 26 * 512 + 100);
    await folder.put('a.vmdk', image);
    const disk = await folder.open('a.vmdk', { 'read-only': true });
    // The first directory is whole, so the disk is read by its tables: there is one behind it.
    expect((await folder.read(disk, 0, 512)).every((value) => value === 0)).toBe(true);
    await folder.graph.close(disk);
    image = image.slice(0, 22 * 512);
    await folder.put('a.vmdk', image);
    const cut = await folder.open('a.vmdk', { 'read-only': true });
    await expect(folder.read(cut, 0, 512)).rejects.toMatchObject({
      kind: 'corrupt',
      message: expect.stringContaining('Grain table 0') as string,
    });
    await folder.graph.close(cut);
  });

  it('of an extent alone is no disk', async () => {
    await folder.create('s.vmdk', MiB, { subformat: 'twoGbMaxExtentSparse' });
    await expect(folder.open('s-s001.vmdk')).rejects.toThrow('this is one extent of an image');
    await folder.put('cowd.vmdk', cowdExtent([1]));
    await expect(folder.open('cowd.vmdk')).rejects.toThrow('this is one extent of an image');
  });

  it.each([
    ['version', 2, 'COWD version 2'],
    ['grainSize', 0, 'grains of 0 sectors'],
    ['directoryEntries', 0, 'directory of 0 entries'],
    ['sectors', 2, 'should have \\d+ bytes'],
    ['directory', 2 ** 31, 'where it cannot be'],
  ] as const)('of COWD with %s %i is refused', async (field, value, message) => {
    const bytes = cowdExtent([1, 2, 3]);
    new DataView(bytes.buffer).setUint32(COWD[field], value, true);
    await folder.put('d.vmdk', bytes);
    await folder.put('c.vmdk', descriptorText('vmfsSparse', ['RW 3 VMFSSPARSE "d.vmdk"']));
    await expect(folder.open('c.vmdk', { 'read-only': true })).rejects.toThrow(new RegExp(message));
  });
});

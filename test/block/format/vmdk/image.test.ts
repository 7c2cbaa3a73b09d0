import { beforeEach, describe, expect, it } from 'vitest';
import { startAsync } from '../../../../src/block/co.ts';
import { vmdk } from '../../../../src/block/format/vmdk/driver.ts';
import { SPARSE } from '../../../../src/block/format/vmdk/layout.ts';
import type { ReferenceRequest } from '../../../../src/block/graph/gate.ts';
import { checkImage } from '../../../../src/block/image/check.ts';
import { imageInfo } from '../../../../src/block/image/info.ts';
import { equalBytes, patternedBytes } from '../../../support/random.ts';
import { descriptorText, withFooter } from '../../../support/vmdk-fixture.ts';
import { VmdkFolder } from '../../../support/vmdk-memory.ts';

const MiB = 2 ** 20;
const GRAIN = 65_536;

/** Where things are in an image of up to 32 MiB that was made here or by QEMU, in bytes. */
const REDUNDANT_DIRECTORY = 21 * 512;
const REDUNDANT_TABLE = 22 * 512;
const DIRECTORY = 26 * 512;
const TABLE = 27 * 512;

function expectBytes(found: Uint8Array, wanted: Uint8Array): void {
  expect(equalBytes(found, wanted)).toBe(true);
}

const cidOf = (text: string): string => /^CID=(.*)$/m.exec(text)![1]!;

let folder: VmdkFolder;
beforeEach(() => {
  folder = new VmdkFolder();
});

/** An image with two grains, the first of them written. */
async function sample(options: Readonly<Record<string, unknown>> = {}): Promise<Uint8Array<ArrayBuffer>> {
  await folder.create('a.vmdk', 2 * GRAIN, options);
  const disk = await folder.open('a.vmdk');
  await disk.write(0, patternedBytes(1, 0, GRAIN));
  await folder.graph.close(disk);
  return folder.bytes('a.vmdk');
}

async function counts(name = 'a.vmdk'): Promise<{ corruptions: number; messages: string[] }> {
  const disk = await folder.open(name, { 'read-only': true });
  const { corruptions, findings } = await startAsync(checkImage(folder.graph, disk.node, 'none'));
  await folder.graph.close(disk);
  return { corruptions, messages: findings.map(({ message }) => message) };
}

describe('the CID', () => {
  it('is a new one from the first change after an open on, and not before', async () => {
    await folder.create('a.vmdk', MiB);
    const made = cidOf(await folder.text('a.vmdk'));
    let disk = await folder.open('a.vmdk');
    await folder.read(disk, 0, 512);
    await disk.flush();
    await folder.graph.close(disk);
    expect(cidOf(await folder.text('a.vmdk'))).toBe(made);
    disk = await folder.open('a.vmdk');
    await disk.write(0, new Uint8Array(512));
    await disk.flush();
    const written = cidOf(await folder.text('a.vmdk'));
    await disk.write(512, new Uint8Array(512));
    await folder.graph.close(disk);
    expect(written).not.toBe(made);
    expect(cidOf(await folder.text('a.vmdk'))).toBe(written);
  });

  it('changes in the descriptor of a flat disk too, whose data is written in place', async () => {
    await folder.create('f.vmdk', MiB, { subformat: 'monolithicFlat' });
    const before = await folder.text('f.vmdk');
    const disk = await folder.open('f.vmdk');
    await disk.write(1000, patternedBytes(1, 0, 100));
    await folder.graph.close(disk);
    const after = await folder.text('f.vmdk');
    expect(cidOf(after)).not.toBe(cidOf(before));
    expect(after.replace(/^CID=.*$/m, '')).toBe(before.replace(/^CID=.*$/m, ''));
    expectBytes((await folder.bytes('f-flat.vmdk')).subarray(1000, 1100), patternedBytes(1, 0, 100));
  });

  it('of the parent stands in the overlay, and a parent that was written to is refused', async () => {
    await folder.create('base.vmdk', MiB);
    await folder.create('top.vmdk', MiB, { backing_file: 'memory:base.vmdk' });
    const text = await folder.text('top.vmdk');
    expect(text).toContain(`parentCID=${cidOf(await folder.text('base.vmdk'))}`);
    expect(text).toContain('parentFileNameHint="memory:base.vmdk"');
    await folder.graph.close(await folder.open('top.vmdk'));
    const base = await folder.open('base.vmdk');
    await base.write(0, new Uint8Array(512));
    await folder.graph.close(base);
    await expect(folder.open('top.vmdk')).rejects.toMatchObject({ kind: 'base-changed' });
    await folder.graph.close(await folder.open('top.vmdk', { 'backing-identity': 'ignore' }));
  });

  it('must fit where it is', async () => {
    const image = await sample();
    // A descriptor that fills its room, with a CID of one digit.
    const text = new TextDecoder().decode(image.subarray(512, 21 * 512)).replaceAll('\0', '#');
    image.set(new TextEncoder().encode(text.replace(/^CID=.*$/m, 'CID=1').padEnd(20 * 512, '#')), 512);
    await folder.put('a.vmdk', image);
    const disk = await folder.open('a.vmdk');
    await expect(folder.write(disk, 0, new Uint8Array(512))).rejects.toThrow('no room in the image for a descriptor');
    await folder.graph.close(disk);
  });
});

describe('the two grain directories', () => {
  it('are both written, and the second answers where the first is broken', async () => {
    const image = await sample();
    expectBytes(image.subarray(REDUNDANT_TABLE, REDUNDANT_TABLE + 2048), image.subarray(TABLE, TABLE + 2048));
    const view = new DataView(image.buffer);
    expect(view.getUint32(DIRECTORY, true)).toBe(TABLE / 512);
    view.setUint32(DIRECTORY, 0xffff_ffff, true);
    await folder.put('a.vmdk', image);
    const disk = await folder.open('a.vmdk');
    expectBytes(await folder.read(disk, 0, GRAIN), patternedBytes(1, 0, GRAIN));
    await disk.write(GRAIN, patternedBytes(2, 0, GRAIN));
    await folder.graph.close(disk);
    const again = await folder.open('a.vmdk', { 'read-only': true });
    expectBytes(await folder.read(again, GRAIN, GRAIN), patternedBytes(2, 0, GRAIN));
    await folder.graph.close(again);
  });

  it('are lost where both are', async () => {
    const image = await sample();
    const view = new DataView(image.buffer);
    view.setUint32(DIRECTORY, 0xffff_ffff, true);
    view.setUint32(REDUNDANT_DIRECTORY, 0, true);
    await folder.put('a.vmdk', image);
    const disk = await folder.open('a.vmdk');
    await expect(folder.read(disk, 0, 512)).rejects.toMatchObject({ kind: 'corrupt' });
    await folder.graph.close(disk);
    expect(await counts()).toMatchObject({ corruptions: 1 });
  });

  it('get a new grain table where there is none', async () => {
    const image = await sample();
    const view = new DataView(image.buffer);
    view.setUint32(DIRECTORY, 0, true);
    view.setUint32(REDUNDANT_DIRECTORY, 0, true);
    await folder.put('a.vmdk', image);
    const disk = await folder.open('a.vmdk');
    expect((await folder.read(disk, 0, GRAIN)).every((value) => value === 0)).toBe(true);
    await disk.write(0, patternedBytes(3, 0, 512));
    await folder.graph.close(disk);
    expect(await counts()).toEqual({ corruptions: 0, messages: [] });
    const after = new DataView((await folder.bytes('a.vmdk')).buffer);
    const [main, redundant] = [after.getUint32(DIRECTORY, true), after.getUint32(REDUNDANT_DIRECTORY, true)];
    expect(main).toBeGreaterThan(1);
    expect(redundant).toBe(main + 4);
    expect(after.getUint32(redundant * 512, true)).toBe(after.getUint32(main * 512, true));
  });
});

describe('a check', () => {
  it.each([
    ['an entry behind the end', 0xffff_0000, 'ERROR: cluster offset after file size'],
    ['an entry that another one has', 128, 'used more than once'],
  ])('finds %s', async (_, entry, message) => {
    const image = await sample();
    new DataView(image.buffer).setUint32(TABLE + 4, entry, true);
    await folder.put('a.vmdk', image);
    const found = await counts();
    expect(found.corruptions).toBe(1);
    expect(found.messages[0]).toContain(message);
  });

  it('of an entry that means zeroes asks whether the image has such', async () => {
    for (const zeroed of [false, true]) {
      folder = new VmdkFolder();
      const image = await sample({ zeroed_grain: zeroed });
      new DataView(image.buffer).setUint32(TABLE + 4, 1, true);
      await folder.put('a.vmdk', image);
      expect((await counts()).corruptions).toBe(zeroed ? 0 : 1);
      const disk = await folder.open('a.vmdk', { 'read-only': true });
      const reading = folder.read(disk, GRAIN, 512);
      if (zeroed) expect((await reading).every((value) => value === 0)).toBe(true);
      else await expect(reading).rejects.toMatchObject({ kind: 'corrupt' });
      await folder.graph.close(disk);
    }
  });
});

describe('extents of a descriptor', () => {
  it('are opened by the gate or not at all, under the names that the caller may give files for', async () => {
    await folder.create('s.vmdk', MiB, { subformat: 'twoGbMaxExtentSparse' });
    await expect(folder.open('s.vmdk', {}, {})).rejects.toMatchObject({ kind: 'denied' });
    const asked: ReferenceRequest[] = [];
    const references = (request: ReferenceRequest): boolean => asked.push(request) > 0;
    await folder.graph.close(await folder.open('s.vmdk', {}, { references }));
    expect(asked.map(({ child, filename }) => [child, filename])).toEqual([['extents.0', 's-s001.vmdk']]);
    const given = { driver: 'memory', name: 's-s001.vmdk' };
    await folder.graph.close(await folder.open('s.vmdk', { 'extents.0': given }, {}));
    await folder.graph.close(await folder.open('s.vmdk', { extents: { 0: given } }, {}));
  });

  it('of all kinds make one disk, and each may be written only as its line says', async () => {
    await folder.put('flat', patternedBytes(1, 0, 3 * GRAIN));
    await folder.put('fixed', patternedBytes(2, 0, GRAIN));
    await folder.create('s.vmdk', GRAIN, { subformat: 'twoGbMaxExtentSparse' });
    const lines = [
      'RW 128 FLAT "flat" 128',
      'RW 128 ZERO',
      'RDONLY 128 FLAT "fixed" 0',
      'NOACCESS 128 FLAT "secret" 0',
      'RW 128 SPARSE "s-s001.vmdk"',
    ];
    await folder.put('d.vmdk', descriptorText('twoGbMaxExtentSparse', lines));
    const disk = await folder.open('d.vmdk');
    expect(disk.length).toBe(5 * GRAIN);
    const first = await folder.read(disk, 0, 3 * GRAIN);
    expectBytes(first.subarray(0, GRAIN), patternedBytes(1, 0, 3 * GRAIN).subarray(GRAIN, 2 * GRAIN));
    expect(first.subarray(GRAIN, 2 * GRAIN).every((value) => value === 0)).toBe(true);
    expectBytes(first.subarray(2 * GRAIN), patternedBytes(2, 0, GRAIN));
    await expect(folder.read(disk, 3 * GRAIN, 512)).rejects.toMatchObject({ kind: 'permission' });
    const data = patternedBytes(3, 0, 512);
    for (const at of [1, 2, 3])
      await expect(folder.write(disk, at * GRAIN, data)).rejects.toMatchObject({ kind: 'permission' });
    await disk.write(4 * GRAIN, data);
    await disk.write(512, data);
    await folder.graph.close(disk);
    expectBytes((await folder.bytes('flat')).subarray(GRAIN + 512, GRAIN + 1024), data);
    expectBytes(await folder.bytes('fixed'), patternedBytes(2, 0, GRAIN));
  });

  it('that do not begin at whole grains are only read', async () => {
    await folder.put('flat', new Uint8Array(512).fill(7));
    await folder.create('s.vmdk', GRAIN, { subformat: 'twoGbMaxExtentSparse' });
    await folder.put(
      'd.vmdk',
      descriptorText('twoGbMaxExtentSparse', ['RW 1 FLAT "flat" 0', 'RW 128 SPARSE "s-s001.vmdk"']),
    );
    await expect(folder.open('d.vmdk')).rejects.toThrow('which is not at a whole grain of 65536 bytes');
    const disk = await folder.open('d.vmdk', { 'read-only': true });
    expect([...(await folder.read(disk, 511, 2))]).toEqual([7, 0]);
    await folder.graph.close(disk);
  });

  it.each([
    ['monolithicFlat', 'RW 3 FLAT "flat" 0', 'should have 1536 bytes from 0 on, and the file has 1024'],
    ['monolithicFlat', 'RW 1 FLAT "flat" 2', 'should have 512 bytes from 1024 on'],
    ['twoGbMaxExtentSparse', 'RW 129 SPARSE "s-s001.vmdk"', 'its header says 65536'],
    ['twoGbMaxExtentSparse', 'RW 2 SPARSE "flat"', 'does not begin as a sparse extent'],
    ['seSparse', 'RW 2 SESPARSE "flat"', 'SESPARSE extents are only read'],
    ['fullDevice', 'RW 2 FLAT "flat" 0', "Unsupported image type 'fullDevice'"],
    ['vmfs', 'RW 2 VMFS "nowhere"', 'There is no such file'],
  ])('of %s that are not as they should be are refused: %s', async (type, line, message) => {
    await folder.put('flat', new Uint8Array(1024));
    await folder.create('s.vmdk', GRAIN, { subformat: 'twoGbMaxExtentSparse' });
    await folder.put('d.vmdk', descriptorText(type, [line]));
    await expect(folder.open('d.vmdk')).rejects.toThrow(message);
  });

  it('are described as far as they can be looked at', async () => {
    await folder.create('s.vmdk', 3 * MiB, { subformat: 'twoGbMaxExtentSparse' });
    for (const [policy, filename] of [
      [{ inspect: true }, 's-s001.vmdk'],
      [{ inspect: true, references: () => true }, 'memory:s-s001.vmdk'],
    ] as const) {
      const disk = await folder.open('s.vmdk', { 'read-only': true }, policy);
      const { 'format-specific': specific } = await startAsync(imageInfo(disk.node));
      expect(specific!.data['extents']).toEqual([
        {
          filename,
          format: 'SPARSE',
          'virtual-size': 3 * MiB,
          ...('references' in policy ? { 'cluster-size': GRAIN } : {}),
        },
      ]);
      await folder.graph.close(disk);
    }
  });
});

describe('streamOptimized', () => {
  const options = { subformat: 'streamOptimized' };

  it('stores each grain once, and refuses to write it again', async () => {
    await folder.create('a.vmdk', 3 * GRAIN + 1024, options);
    const disk = await folder.open('a.vmdk');
    const noise = crypto.getRandomValues(new Uint8Array(GRAIN));
    await disk.write(GRAIN, noise);
    await disk.write(0, patternedBytes(1, 0, 512));
    await disk.write(3 * GRAIN, patternedBytes(2, 0, 1024), { compressed: true });
    await expect(folder.write(disk, 512, patternedBytes(1, 0, 512))).rejects.toMatchObject({ kind: 'unsupported' });
    await expect(folder.write(disk, GRAIN, noise, true)).rejects.toMatchObject({ kind: 'unsupported' });
    await folder.graph.close(disk);
    const again = await folder.open('a.vmdk', { 'read-only': true });
    expectBytes(await folder.read(again, GRAIN, GRAIN), noise);
    expectBytes((await folder.read(again, 0, 1024)).subarray(0, 512), patternedBytes(1, 0, 512));
    expectBytes(await folder.read(again, 3 * GRAIN, 1024), patternedBytes(2, 0, 1024));
    await folder.graph.close(again);
    expect(await counts()).toEqual({ corruptions: 0, messages: [] });
  });

  it.each([
    ['the marker is another one', 0, 'one of \\d+ bytes for sector'],
    ['the length is none', 8, 'marker of the grain'],
    ['the stream is none', 12, 'zlib stream'],
    ['the data is damaged', 40, 'cannot be read'],
  ])('says so when %s', async (_, at, message) => {
    const image = await sample(options);
    const grain = new DataView(image.buffer).getUint32(TABLE, true) * 512;
    for (let byte = 0; byte < 4; byte++) image[grain + at + byte]! ^= 0xff;
    await folder.put('a.vmdk', image);
    const disk = await folder.open('a.vmdk', { 'read-only': true });
    await expect(folder.read(disk, 0, 512)).rejects.toMatchObject({
      kind: 'corrupt',
      message: expect.stringMatching(new RegExp(message)) as string,
    });
    await folder.graph.close(disk);
  });

  it('is read with its directory at the end, by the footer, and then not written', async () => {
    const image = withFooter(await sample(options));
    await folder.put('a.vmdk', image);
    await expect(folder.open('a.vmdk')).rejects.toThrow('its grain directory is at the end of the file');
    const disk = await folder.open('a.vmdk', { 'read-only': true });
    expectBytes(await folder.read(disk, 0, GRAIN), patternedBytes(1, 0, GRAIN));
    await folder.graph.close(disk);
    await folder.put('a.vmdk', image.slice(0, -512));
    await expect(folder.open('a.vmdk', { 'read-only': true })).rejects.toThrow('there is none: it was cut off');
    image.set(image.subarray(0, 512), image.length - 1024);
    await folder.put('a.vmdk', image);
    await expect(folder.open('a.vmdk', { 'read-only': true })).rejects.toThrow('no place of the grain directory');
  });
});

describe('a new image', () => {
  it('probes as VMDK, by its magic or by its descriptor', async () => {
    for (const subformat of ['monolithicSparse', 'monolithicFlat']) {
      folder = new VmdkFolder();
      await folder.create('p.vmdk', MiB, { subformat });
      const bytes = await folder.bytes('p.vmdk');
      const input = { head: bytes.subarray(0, 4096), tail: bytes.subarray(-4096), size: bytes.length, filename: 'p' };
      expect(vmdk.probe(input)).toBe(100);
    }
    expect(vmdk.probe({ head: new Uint8Array(3), tail: new Uint8Array(3), size: 3, filename: 'a.vmdk' })).toBe(0);
  });

  it.each([
    [{ compat6: true, hwversion: '7' }, 'compat6 cannot be enabled with hwversion set'],
    [{ subformat: 'monolithicFlat', zeroed_grain: true }, "Flat image can't enable zeroed grain"],
    [{ subformat: 'twoGbMaxExtentFlat', backing_file: 'b' }, "Flat image can't have backing file"],
    [{ backing_fmt: 'raw' }, 'backing_file must be a vmdk image'],
    [{ toolsversion: '1"\nRW 1 FLAT "/etc/passwd" 0' }, 'cannot have quotes or control characters'],
    [{ hwversion: '4'.repeat(11_000) }, 'fit into the image'],
  ])('with %j is refused, and nothing is left of it', async (options, message) => {
    await expect(folder.create('x.vmdk', MiB, options)).rejects.toThrow(message);
    await expect(folder.bytes('x.vmdk')).rejects.toMatchObject({ kind: 'not-found' });
  });

  it('is deleted with its extents when one of them is in the way', async () => {
    await folder.put('x-s002.vmdk', 'mine');
    await expect(folder.create('x.vmdk', 3 * 2 ** 30, { subformat: 'twoGbMaxExtentSparse' })).rejects.toMatchObject({
      kind: 'exists',
    });
    await expect(folder.bytes('x-s001.vmdk')).rejects.toMatchObject({ kind: 'not-found' });
    expect(await folder.text('x-s002.vmdk')).toBe('mine');
  });

  it('of no size is a disk of no size', async () => {
    for (const subformat of ['monolithicSparse', 'twoGbMaxExtentFlat', 'monolithicFlat']) {
      await folder.create(`${subformat}.vmdk`, 0, { subformat });
      const disk = await folder.open(`${subformat}.vmdk`);
      expect(disk.length).toBe(0);
      await folder.graph.close(disk);
    }
  });

  it('has a header that says what is in it', async () => {
    const view = new DataView((await sample({ zeroed_grain: true })).buffer);
    expect(view.getUint32(SPARSE.version, true)).toBe(2);
    expect(view.getUint32(SPARSE.flags, true)).toBe(7);
    expect(view.getBigUint64(SPARSE.overhead, true)).toBe(128n);
  });
});

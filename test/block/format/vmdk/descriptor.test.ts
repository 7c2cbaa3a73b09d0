import { describe, expect, it } from 'vitest';
import {
  encodeDescriptor,
  extentsOf,
  looksLikeDescriptor,
  parseDescriptor,
  withCid,
} from '../../../../src/block/format/vmdk/descriptor.ts';
import { MAX_EXTENTS } from '../../../../src/block/format/vmdk/layout.ts';
import { descriptorText } from '../../../support/vmdk-fixture.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const extents = (...lines: string[]) => extentsOf(parseDescriptor(bytes(descriptorText('custom', lines))));

describe('a descriptor', () => {
  it('is read, whatever ends its lines and stands behind its end', () => {
    const text = descriptorText('vmfs', ['RW 128 VMFS "a b.vmdk"'], ['parentFileNameHint="../base.vmdk"']);
    const parsed = parseDescriptor(bytes(`${text.replaceAll('\n', '\r\n')}\0\0CID=1`));
    expect(parsed).toMatchObject({
      cid: 0x0badcafe,
      parentCid: 0xffffffff,
      createType: 'vmfs',
      parentHint: '../base.vmdk',
    });
    expect(extentsOf(parsed)).toEqual([
      { access: 'RW', length: 65_536, type: 'VMFS', filename: 'a b.vmdk', offset: 0 },
    ]);
  });

  it('has extents of every type and access', () => {
    expect(
      extents(
        'RW 8 FLAT "f" 16',
        'RDONLY 8 SPARSE "s"',
        'NOACCESS 8 ZERO',
        'RW 0 FLAT "none" 0',
        'RW 8 VMFSSPARSE "c"',
      ),
    ).toEqual([
      { access: 'RW', length: 4096, type: 'FLAT', filename: 'f', offset: 8192 },
      { access: 'RDONLY', length: 4096, type: 'SPARSE', filename: 's', offset: 0 },
      { access: 'NOACCESS', length: 4096, type: 'ZERO', filename: '', offset: 0 },
      { access: 'RW', length: 4096, type: 'VMFSSPARSE', filename: 'c', offset: 0 },
    ]);
  });

  it.each([
    ['RW x FLAT "f" 0', 'a number of sectors'],
    ['RW 8 FLOPPY "f" 0', "'FLOPPY' is no type"],
    ['RW 8 FLAT "f"', 'needs the sector'],
    ['RW 8 SPARSE', 'the name of its file is missing'],
    ['RW 8 SPARSE "unclosed', 'the name of its file is missing'],
    ['RW 9999999999999999999 FLAT "f" 0', 'beyond 2^53'],
    ['RW 8 FLAT "f" 9007199254740992', 'beyond 2^53'],
    ['RW 8 SPARSE "a\u0007b"', 'control characters'],
  ])('says what is wrong with the line %s', (line, why) => {
    expect(() => extents(line)).toThrow(
      expect.objectContaining({ kind: 'corrupt', message: expect.stringContaining(why) as string }),
    );
  });

  it.each([
    ['CID=0badcafe\n', ''],
    ['CID=0badcafe', 'CID=0badcafe0'],
    ['CID=0badcafe', 'CID=xyz'],
    ['parentCID=ffffffff', 'parentCID='],
  ])('must have both CIDs: %j as %j', (from, to) => {
    const text = descriptorText('vmfs', []).replace(from, to);
    expect(() => parseDescriptor(bytes(text))).toThrow(/must have a (parent)?CID of up to 8 hexadecimal digits/);
  });

  it('has a bounded number of extents', () => {
    const lines = Array.from({ length: MAX_EXTENTS + 1 }, () => 'RW 8 ZERO');
    expect(extents(...lines.slice(1)).length).toBe(MAX_EXTENTS);
    expect(() => extents(...lines)).toThrow(`more than ${MAX_EXTENTS} extents`);
  });

  it('that is empty is none', () => {
    expect(() => parseDescriptor(new Uint8Array(512))).toThrow('There is no descriptor');
  });

  it('gets another CID and stays what it is', () => {
    const text = descriptorText('vmfs', ['RW 128 VMFS "CID=1"']).replace('CID=0badcafe', 'CID=1f');
    const changed = withCid(text, 0xab);
    expect(changed).toBe(text.replace('CID=1f', 'CID=000000ab'));
    expect(withCid(changed, 0xfedcba98)).toContain('\nCID=fedcba98\nparentCID=ffffffff\n');
  });

  it('is found by its version behind comments and empty lines, as QEMU finds it', () => {
    expect(looksLikeDescriptor(bytes('# Disk DescriptorFile\nversion=1\n'))).toBe(true);
    expect(looksLikeDescriptor(bytes('#\r\n  \r\n\nversion=3\r\n'))).toBe(true);
    for (const text of ['version=1', 'version=4\n', ' x\nversion=1\n', 'a', '', '#'.repeat(4096)]) {
      expect(looksLikeDescriptor(bytes(text)), text.slice(0, 20)).toBe(false);
    }
  });

  it('that is new reads back as what it was made of', () => {
    const line = { access: 'RW', length: 2 ** 20, type: 'FLAT', filename: 'x-flat.vmdk', offset: 0 } as const;
    const text = encodeDescriptor({
      cid: 0x12,
      parentCid: 0x34,
      createType: 'monolithicFlat',
      parentHint: 'base.vmdk',
      extents: [line],
      hwVersion: '4',
      toolsVersion: '7',
      adapterType: 'lsilogic',
      size: 100 * 2 ** 20,
    });
    const parsed = parseDescriptor(bytes(text));
    expect(parsed).toMatchObject({ cid: 0x12, parentCid: 0x34, createType: 'monolithicFlat', parentHint: 'base.vmdk' });
    expect(extentsOf(parsed)).toEqual([line]);
    expect(text).toContain('ddb.geometry.cylinders = "12"\nddb.geometry.heads = "255"\n');
  });
});

/** VMDK images of every kind: made by QEMU's tools where they can, and else put together here, byte by byte, by VMware's documents. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  COWD,
  COWD_ENTRIES_PER_TABLE,
  COWD_VERSION,
  DIRECTORY_AT_END,
  MARKER,
  MARKER_FOOTER,
  SPARSE,
} from '../../src/block/format/vmdk/layout.ts';
import { qemuImg, qemuIo } from './qemu.ts';

export const SUBFORMATS = [
  'monolithicSparse',
  'monolithicFlat',
  'twoGbMaxExtentSparse',
  'twoGbMaxExtentFlat',
  'streamOptimized',
] as const;

const SECTOR = 512;

/** The text of a descriptor with given lines for its extents. */
export function descriptorText(createType: string, extents: readonly string[], more: readonly string[] = []): string {
  return [
    '# Disk DescriptorFile',
    'version=1',
    'CID=0badcafe',
    'parentCID=ffffffff',
    `createType="${createType}"`,
    ...more,
    '',
    '# Extent description',
    ...extents,
    '',
    '# The Disk Data Base',
    '#DDB',
    '',
    'ddb.adapterType = "lsilogic"',
    '',
  ].join('\n');
}

/**
 * A COWD extent, as ESX servers make them for `vmfsSparse` disks.
 *
 * @param grains the byte that each grain is filled with; undefined: it is not there
 * @param grainSectors one sector on ESX servers, more in old hosted products
 */
export function cowdExtent(grains: readonly (number | undefined)[], grainSectors = 1): Uint8Array<ArrayBuffer> {
  const directory = 4;
  const table = 5;
  const data = table + (COWD_ENTRIES_PER_TABLE * 4) / SECTOR;
  const stored = grains.filter((value) => value !== undefined).length;
  const bytes = new Uint8Array((data + stored * grainSectors) * SECTOR);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode('COWD'));
  view.setUint32(COWD.version, COWD_VERSION, true);
  view.setUint32(COWD.flags, 3, true);
  view.setUint32(COWD.sectors, grains.length * grainSectors, true);
  view.setUint32(COWD.grainSize, grainSectors, true);
  view.setUint32(COWD.directory, directory, true);
  view.setUint32(COWD.directoryEntries, 1, true);
  view.setUint32(directory * SECTOR, table, true);
  let next = data;
  for (const [index, value] of grains.entries()) {
    if (value === undefined) continue;
    view.setUint32(table * SECTOR + index * 4, next, true);
    bytes.fill(value, next * SECTOR, (next + grainSectors) * SECTOR);
    next += grainSectors;
  }
  return bytes;
}

/**
 * A space efficient sparse extent, as ESX servers since 6.5 make them.
 *
 * @param entries what grains are: the number of one that is stored, `zero` or `unmapped`, by their place in the disk. Stored grains are
 * filled with their number and one
 */
export function seSparseExtent(
  capacitySectors: number,
  entries: Readonly<Record<number, number | 'zero' | 'unmapped'>>,
): Uint8Array<ArrayBuffer> {
  const stored = Object.values(entries).filter((entry) => typeof entry === 'number');
  const tables = Math.ceil((capacitySectors * SECTOR) / 2 ** 24);
  const directory = 4096;
  const firstTable = directory + 1;
  const grains = firstTable + 64 * tables + 2;
  const bytes = new Uint8Array((grains + 8 * (Math.max(...stored) + 1)) * SECTOR);
  const view = new DataView(bytes.buffer);
  const header = [0xcafebabe, 0x2_0000_0001, capacitySectors, 8, 64, 0, 0, 0, 0, 0];
  // Place and size of: volatile header, journal header, journal, directory, tables, free bitmap, backmap, grains.
  header.push(1, 1, 2, 2, 2048, 2048, directory, 1, firstTable, 64 * tables);
  header.push(grains - 2, 1, grains - 1, 1, grains, bytes.length / SECTOR - grains);
  for (const [index, value] of header.entries()) view.setBigUint64(index * 8, BigInt(value), true);
  view.setBigUint64(SECTOR, 0xcafe_cafen, true);
  for (let table = 0; table < tables; table++) {
    view.setBigUint64(directory * SECTOR + table * 8, (1n << 60n) + BigInt(table), true);
  }
  for (const [grain, entry] of Object.entries(entries)) {
    const kind = entry === 'unmapped' ? 1n : entry === 'zero' ? 2n : 3n;
    const number = typeof entry === 'number' ? BigInt(entry) : 0n;
    const value = (kind << 60n) + ((number % 4096n) << 48n) + number / 4096n;
    view.setBigUint64(firstTable * SECTOR + Number(grain) * 8, value, true);
  }
  for (const grain of stored) bytes.fill(grain + 1, (grains + 8 * grain) * SECTOR, (grains + 8 * grain + 8) * SECTOR);
  return bytes;
}

/**
 * A streamOptimized image as VMware's own tools write them: the directory's place is not known when the header is written, so it stands
 * in a footer.
 */
export function withFooter(image: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(image.length + 3 * SECTOR);
  bytes.set(image);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(image.length + MARKER.value, 1n, true);
  view.setUint32(image.length + MARKER.type, MARKER_FOOTER, true);
  bytes.set(image.subarray(0, SECTOR), image.length + SECTOR);
  view.setBigUint64(SPARSE.directory, DIRECTORY_AT_END, true);
  return bytes;
}

/** Fills a folder. Names say what is special about an image. */
export async function makeVmdkFixture(folder: string): Promise<void> {
  const file = (name: string) => join(folder, name);
  const create = (name: string, options: string, ...args: string[]) =>
    qemuImg('create', '-q', '-f', 'vmdk', ...(options === '' ? [] : ['-o', options]), file(name), ...args);
  for (const subformat of SUBFORMATS) {
    await create(`${subformat}.vmdk`, `subformat=${subformat}`, '1600k');
    const writes = ['write -P 1 0 64k', 'write -P 2 128k 192k', 'write -P 3 1536k 64k'];
    await qemuIo(file(`${subformat}.vmdk`), 'vmdk', ...writes);
  }
  await create('odd.vmdk', 'subformat=streamOptimized', '1000k');
  await qemuIo(file('odd.vmdk'), 'vmdk', 'write -P 7 960k 40k', 'write -P 8 0 64k');
  writeFileSync(file('footer.vmdk'), withFooter(readFileSync(file('odd.vmdk'))));
  await create('large.vmdk', 'subformat=twoGbMaxExtentSparse', '5G');
  await qemuIo(file('large.vmdk'), 'vmdk', 'write -P 4 2047M 2M', 'write -P 5 4500M 100k');
  await create('zeroed.vmdk', 'zeroed_grain=on', '1M');
  await qemuIo(file('zeroed.vmdk'), 'vmdk', 'write -P 1 0 256k', 'write -z 64k 64k', 'write -z 512k 128k');
  await create('base.vmdk', '', '1M');
  await qemuIo(file('base.vmdk'), 'vmdk', 'write -P 6 0 512k');
  await qemuImg('create', '-q', '-f', 'vmdk', '-b', 'base.vmdk', '-F', 'vmdk', file('top.vmdk'));
  await qemuIo(file('top.vmdk'), 'vmdk', 'write -P 7 64k 10k');
  await create('changed.vmdk', '', '1M');
  await qemuImg('create', '-q', '-f', 'vmdk', '-b', 'changed.vmdk', '-F', 'vmdk', file('stale.vmdk'));
  await qemuIo(file('changed.vmdk'), 'vmdk', 'write -P 1 0 512');
  await qemuImg('create', '-q', '-f', 'raw', file('data.raw'), '1M');
  await qemuIo(file('data.raw'), 'raw', 'write -P 1 0 64k', 'write -P 2 512k 200k');
  writeFileSync(file('cowd.vmdk'), descriptorText('vmfsSparse', ['RW 96 VMFSSPARSE "cowd-delta.vmdk"']));
  const grains = Array.from({ length: 96 }, (_, index) => (index % 3 === 0 ? undefined : index));
  writeFileSync(file('cowd-delta.vmdk'), cowdExtent(grains));
  writeFileSync(file('se.vmdk'), descriptorText('seSparse', ['RW 40000 SESPARSE "se-sesparse.vmdk"']));
  const kinds = { 0: 0, 1: 1, 3: 'unmapped', 4: 'zero', 5: 5, 4096: 3 } as const;
  writeFileSync(file('se-sesparse.vmdk'), seSparseExtent(40_000, kinds));
  writeFileSync(file('esx.vmdk'), descriptorText('vmfs', ['RW 128 VMFS "esx-flat.vmdk"']));
  writeFileSync(file('esx-flat.vmdk'), new Uint8Array(128 * SECTOR).fill(9));
}

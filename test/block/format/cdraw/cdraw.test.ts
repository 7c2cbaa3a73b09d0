import { describe, expect, it } from 'vitest';
import { cdraw } from '../../../../src/block/format/cdraw/driver.ts';
import { formatDrivers } from '../../../../src/block/format/index.ts';
import { probeFormats } from '../../../../src/block/probe.ts';
import { buildCdRaw, type SectorKind } from '../../../support/cdraw-builder.ts';
import { patternedBytes, Random } from '../../../support/random.ts';
import { LastingStorage, openDisk } from '../../../support/scenario.ts';

const SECTORS = 150;
const DATA = patternedBytes(1, 0, SECTORS * 2048);

const opened = (initial: Uint8Array) =>
  openDisk(cdraw, new LastingStorage({ initial, readOnly: true }), { 'read-only': true });

const probed = (bytes: Uint8Array) =>
  probeFormats(formatDrivers, {
    head: bytes.subarray(0, 4096),
    tail: bytes.subarray(-4096),
    size: bytes.length,
    filename: 'cd.bin',
  });

describe('a raw CD image', () => {
  it.each(['mode1', 'form1', 'mixed'] as const)('reads its data, whole and in parts: %s', async (kind) => {
    const kindOf = (sector: number): SectorKind => (kind === 'mixed' ? (sector % 3 === 0 ? 'mode1' : 'form1') : kind);
    const image = buildCdRaw(DATA, kindOf);
    expect(probed(image).format).toBe('cdraw');
    const { graph, disk } = await opened(image);
    expect(disk.length).toBe(DATA.length);
    const whole = new Uint8Array(DATA.length);
    await disk.read(0, whole);
    expect(Buffer.compare(whole, DATA)).toBe(0);
    const random = new Random(1);
    for (let round = 0; round < 100; round++) {
      const offset = random.below(DATA.length);
      const part = new Uint8Array(random.between(1, Math.min(9000, DATA.length - offset)));
      await disk.read(offset, part);
      expect(Buffer.compare(part, DATA.subarray(offset, offset + part.length))).toBe(0);
    }
    await graph.close(disk);
  });

  it.each(['sound', 'form2'] as const)('a sector of %s is an I/O error, and no other is', async (kind) => {
    const { graph, disk } = await opened(buildCdRaw(DATA, (sector) => (sector === 9 ? kind : 'form1')));
    const read = async (sector: number) => disk.read(sector * 2048, new Uint8Array(2048));
    await read(8);
    await expect(read(9)).rejects.toMatchObject({ kind: 'io', message: expect.stringContaining('Sector 9') as string });
    await read(10);
    await graph.close(disk);
  });

  it('is probed by two sectors that follow one another, and by whole sectors', () => {
    const image = buildCdRaw(DATA, () => 'mode1');
    const other = image.slice();
    other[2352 + 14]! ^= 1;
    expect(probed(other).format).toBe('raw');
    expect(probed(image.subarray(0, image.length - 1)).format).toBe('raw');
    expect(probed(buildCdRaw(DATA, () => 'form2')).format).toBe('raw');
    expect(probed(image.subarray(0, 2352)).format).toBe('cdraw');
  });

  it('refuses what is none', async () => {
    const image = buildCdRaw(DATA, () => 'mode1');
    await expect(opened(image.subarray(0, 5000))).rejects.toThrow(/the file has 5000 bytes/);
    await expect(opened(new Uint8Array(2352))).rejects.toThrow(/no raw CD image/);
    await expect(opened(buildCdRaw(DATA, () => 'form2'))).rejects.toThrow(/neither mode 1 nor form 1/);
  });
});

import { describe, expect, test } from 'vitest';
import { encodeMasterBootRecord, type Partition } from '../../scripts/guest/mbr.ts';

const bootCode = new Uint8Array(512).fill(0xcc);

function encode(...partitions: Partition[]): Buffer {
  return Buffer.from(encodeMasterBootRecord({ bootCode, diskSignature: 0x12345678, partitions }));
}

function partition(startSector: number, sectors: number, active = false): Partition {
  return { active, type: 0x83, startSector, sectors };
}

describe('encodeMasterBootRecord', () => {
  test('boot code, signature, partitions and the mark at the end are where they belong', () => {
    const sector = encode({ active: true, type: 0x0e, startSector: 2048, sectors: 32768 }, partition(34816, 49152));
    expect(sector).toHaveLength(512);
    expect(sector.subarray(0, 440).every((byte) => byte === 0xcc)).toBe(true);
    expect(sector.readUInt32LE(440)).toBe(0x12345678);
    expect(sector.readUInt16LE(444)).toBe(0);
    expect(sector.toString('hex', 446, 462)).toBe('80feffff0efeffff0008000000800000');
    expect(sector.toString('hex', 462, 478)).toBe('00feffff83feffff0088000000c00000');
    expect(sector.subarray(478, 510).every((byte) => byte === 0)).toBe(true);
    expect(sector.toString('hex', 510)).toBe('55aa');
  });

  test('what no table can say is refused', () => {
    expect(() => encode(...[1, 2, 3, 4, 5].map((start) => partition(start, 1)))).toThrow(/4 partitions/);
    expect(() => encode(partition(1, 1, true), partition(2, 1, true))).toThrow(/active/);
    expect(() => encode(partition(2048, 0))).toThrow(/empty/);
    expect(() => encode(partition(0, 8))).toThrow(/before sector 1/);
    expect(() => encode(partition(100, 8), partition(96, 5))).toThrow(/before sector 101/);
    expect(() => encode(partition(2 ** 32 - 1, 2))).toThrow(/32 bits/);
    expect(encode(partition(2 ** 32 - 1, 1))).toHaveLength(512);
  });
});

// The first sector of a disk with up to four partitions.
// Source: UEFI specification 2.10, section 5.2.1 "Legacy Master Boot Record".

export const sectorLength = 512;

/** Boot code ends where the disk's signature begins. */
export const bootCodeLimit = 440;

export interface Partition {
  readonly active: boolean;
  /** 0x01 FAT12, 0x0e FAT16 by LBA, 0x83 Linux. */
  readonly type: number;
  readonly startSector: number;
  readonly sectors: number;
}

export interface MasterBootRecord {
  /** At most 440 bytes of it are taken. */
  readonly bootCode: Uint8Array;
  readonly diskSignature: number;
  readonly partitions: readonly Partition[];
}

/** "Beyond what cylinders, heads and sectors can say: look at the LBA fields." */
const largestAddress = [0xfe, 0xff, 0xff];
const partitionTable = 446;
const partitionEntryLength = 16;

/**
 * Encodes the 512 bytes of sector 0.
 * @throws RangeError for more than four partitions, more than one active, an empty one, one that begins before sector 1
 *   or ends past 2^32 sectors, and two that overlap.
 */
export function encodeMasterBootRecord(record: MasterBootRecord): Uint8Array {
  checkPartitions(record.partitions);
  const sector = Buffer.alloc(sectorLength);
  sector.set(record.bootCode.subarray(0, bootCodeLimit));
  sector.writeUInt32LE(record.diskSignature, bootCodeLimit);
  for (const [index, partition] of record.partitions.entries()) {
    const entry = partitionTable + index * partitionEntryLength;
    sector[entry] = partition.active ? 0x80 : 0;
    sector.set(largestAddress, entry + 1);
    sector[entry + 4] = partition.type;
    sector.set(largestAddress, entry + 5);
    sector.writeUInt32LE(partition.startSector, entry + 8);
    sector.writeUInt32LE(partition.sectors, entry + 12);
  }
  sector.set([0x55, 0xaa], sectorLength - 2);
  return sector;
}

function checkPartitions(partitions: readonly Partition[]): void {
  if (partitions.length > 4) throw new RangeError(`A master boot record holds 4 partitions, not ${partitions.length}`);
  if (partitions.filter(({ active }) => active).length > 1) throw new RangeError('Two partitions are marked active');
  let end = 1;
  for (const { startSector, sectors } of partitions.toSorted((a, b) => a.startSector - b.startSector)) {
    if (sectors < 1) throw new RangeError(`The partition at sector ${startSector} is empty`);
    if (startSector < end) throw new RangeError(`The partition at sector ${startSector} begins before sector ${end}`);
    end = startSector + sectors;
  }
  if (end > 2 ** 32) throw new RangeError(`A partition ends at sector ${end}, past what 32 bits can say`);
}

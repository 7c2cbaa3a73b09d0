/**
 * An entry of the table of internal snapshots, as it stands in the file.
 *
 * Source: qcow2 specification, "Snapshots".
 */
import type { SnapshotInfo } from '../../driver.ts';
import { BlockError } from '../../error.ts';

/** Bytes of an entry before its extra data, id and name. */
export const SNAPSHOT_FIXED_LENGTH = 40;
/** Extra data that is written: size of the machine state, size of the disk, count of instructions. */
const EXTRA_LENGTH = 24;
/** Bytes of extra data in one entry. QEMU: QCOW_MAX_SNAPSHOT_EXTRA_DATA. */
export const MAX_SNAPSHOT_EXTRA_BYTES = 1024;
/** Bytes of an id or a name: what their 16-bit lengths can say. */
export const MAX_SNAPSHOT_TEXT_BYTES = 65535;
/** Each entry begins at a multiple of it. */
export const SNAPSHOT_ALIGNMENT = 8;

/** What stands for "instructions were not counted". */
const NO_INSTRUCTION_COUNT = 2n ** 64n - 1n;

export interface SnapshotEntry {
  readonly info: SnapshotInfo;
  /** Id and name as the file holds them: they need not be UTF-8. */
  readonly idBytes: Uint8Array;
  readonly nameBytes: Uint8Array;
  readonly l1Offset: number;
  /** Entries of its L1 table. */
  readonly l1Entries: number;
  /** Extra data that this implementation does not know, kept as it is. */
  readonly unknownExtra: Uint8Array;
}

const FIELD = {
  l1Offset: 0,
  l1Entries: 8,
  idLength: 12,
  nameLength: 14,
  dateSeconds: 16,
  dateNanoseconds: 20,
  vmClock: 24,
  vmStateSize: 32,
  extraLength: 36,
} as const;

/** Offsets in the extra data. */
const EXTRA = { vmStateSize: 0, diskSize: 8, instructionCount: 16 } as const;

/** Bytes that an entry takes in all, from its fixed part alone. */
export function snapshotEntryLength(fixed: DataView): number {
  const texts = fixed.getUint16(FIELD.idLength) + fixed.getUint16(FIELD.nameLength);
  return SNAPSHOT_FIXED_LENGTH + fixed.getUint32(FIELD.extraLength) + texts;
}

/** Bytes of the extra data of an entry. */
export function snapshotExtraLength(fixed: DataView): number {
  return fixed.getUint32(FIELD.extraLength);
}

/**
 * @param bytes the whole entry @param diskSize what the disk's size was if the entry does not say
 * @throws BlockError `corrupt` for numbers that cannot be
 */
export function decodeSnapshotEntry(bytes: Uint8Array, diskSize: number): SnapshotEntry {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const extraLength = view.getUint32(FIELD.extraLength);
  const idStart = SNAPSHOT_FIXED_LENGTH + extraLength;
  const nameStart = idStart + view.getUint16(FIELD.idLength);
  const idBytes = bytes.slice(idStart, nameStart);
  const nameBytes = bytes.slice(nameStart);
  const decoder = new TextDecoder();
  const name = decoder.decode(nameBytes);
  const has = (field: number): boolean => extraLength >= field + 8;
  const extra = (field: number): number => wholeNumber(view, SNAPSHOT_FIXED_LENGTH + field, name);
  const count = has(EXTRA.instructionCount)
    ? view.getBigUint64(SNAPSHOT_FIXED_LENGTH + EXTRA.instructionCount)
    : NO_INSTRUCTION_COUNT;
  const info: SnapshotInfo = {
    id: decoder.decode(idBytes),
    name,
    dateSeconds: view.getUint32(FIELD.dateSeconds),
    dateNanoseconds: view.getUint32(FIELD.dateNanoseconds),
    vmClockNanoseconds: view.getBigUint64(FIELD.vmClock),
    ...(count === NO_INSTRUCTION_COUNT ? {} : { instructionCount: count }),
    vmStateSize: has(EXTRA.vmStateSize) ? extra(EXTRA.vmStateSize) : view.getUint32(FIELD.vmStateSize),
    diskSize: has(EXTRA.diskSize) ? extra(EXTRA.diskSize) : diskSize,
  };
  return {
    info,
    idBytes,
    nameBytes,
    l1Offset: wholeNumber(view, FIELD.l1Offset, name),
    l1Entries: view.getUint32(FIELD.l1Entries),
    unknownExtra: bytes.slice(SNAPSHOT_FIXED_LENGTH + Math.min(extraLength, EXTRA_LENGTH), idStart),
  };
}

/** The bytes of an entry. Extra data that older versions of it lacked is there afterwards. */
export function encodeSnapshotEntry(entry: SnapshotEntry): Uint8Array<ArrayBuffer> {
  const { info, idBytes, nameBytes, unknownExtra } = entry;
  const extraLength = EXTRA_LENGTH + unknownExtra.length;
  const bytes = new Uint8Array(SNAPSHOT_FIXED_LENGTH + extraLength + idBytes.length + nameBytes.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(FIELD.l1Offset, BigInt(entry.l1Offset));
  view.setUint32(FIELD.l1Entries, entry.l1Entries);
  view.setUint16(FIELD.idLength, idBytes.length);
  view.setUint16(FIELD.nameLength, nameBytes.length);
  view.setUint32(FIELD.dateSeconds, info.dateSeconds);
  view.setUint32(FIELD.dateNanoseconds, info.dateNanoseconds);
  view.setBigUint64(FIELD.vmClock, info.vmClockNanoseconds);
  // Readers of version 2 know only this field; where the size does not fit it is 0, as QEMU writes it.
  view.setUint32(FIELD.vmStateSize, info.vmStateSize > 0xffffffff ? 0 : info.vmStateSize);
  view.setUint32(FIELD.extraLength, extraLength);
  view.setBigUint64(SNAPSHOT_FIXED_LENGTH + EXTRA.vmStateSize, BigInt(info.vmStateSize));
  view.setBigUint64(SNAPSHOT_FIXED_LENGTH + EXTRA.diskSize, BigInt(info.diskSize));
  view.setBigUint64(SNAPSHOT_FIXED_LENGTH + EXTRA.instructionCount, info.instructionCount ?? NO_INSTRUCTION_COUNT);
  bytes.set(unknownExtra, SNAPSHOT_FIXED_LENGTH + EXTRA_LENGTH);
  bytes.set(idBytes, SNAPSHOT_FIXED_LENGTH + extraLength);
  bytes.set(nameBytes, SNAPSHOT_FIXED_LENGTH + extraLength + idBytes.length);
  return bytes;
}

function wholeNumber(view: DataView, offset: number, name: string): number {
  const value = view.getUint32(offset) * 2 ** 32 + view.getUint32(offset + 4);
  if (value <= Number.MAX_SAFE_INTEGER) return value;
  throw new BlockError('corrupt', `The entry of snapshot '${name}' holds a size or an offset of 2^53 or more`);
}

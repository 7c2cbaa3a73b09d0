/**
 * Internal snapshots: the disk's tables at a moment, kept beside the active ones, which share with them what has not changed since.
 *
 * Each change works on a settled image, writes all that changes elsewhere, the refcounts too, and switches to it with one write of
 * the header's first sector:
 *
 *   create  counts all references of the disk once more; L2 tables with "write in place" flags give way to copies without them,
 *           which disk and snapshot share
 *   apply   takes the references that the disk has, and counts those of the snapshot once more, whose L1 table becomes the disk's,
 *           with its size
 *   delete  takes the references that the snapshot has; where a count of one is left in the disk's tables, a copy with the flags set
 *           takes their place
 *
 * A power cut before the switch loses space, not data; counts and flags always belong together.
 *
 * Machine state lies behind the disk's end, in the same L1 table. A snapshot takes the part of the table over that leads to it.
 *
 * Source: qcow2 specification, "Snapshots".
 */
import { settle, type Co } from '../../co.ts';
import type { SnapshotInfo, SnapshotRequest } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { EntryTable } from './entry-table.ts';
import { ENTRY_COPIED, ENTRY_LENGTH, INCOMPATIBLE_DATA_FILE, MAX_L1_BYTES } from './layout.ts';
import type { Metadata } from './metadata.ts';
import type { NextRefcounts } from './next-refcounts.ts';
import { growL1 } from './resize.ts';
import { MAX_SNAPSHOT_TEXT_BYTES, type SnapshotEntry } from './snapshot-entry.ts';
import { encodeSnapshotTable } from './snapshot-table.ts';
import { placeSnapshots, settleSwitch, switchTables } from './snapshot-switch.ts';
import { markOwned, releaseReferences, shareReferences, vetL1 } from './snapshot-walk.ts';

/** Where machine state lies: behind the disk, from where an L2 table begins on. QEMU: qcow2_vm_state_offset. */
export function vmStateOffset(metadata: Metadata, virtualSize: number): number {
  const { tableSpan } = metadata.geometry;
  return Math.ceil(virtualSize / tableSpan) * tableSpan;
}

/** @see SnapshotTable.reserveVmState */
export function* reserveVmState(metadata: Metadata, virtualSize: number, length: number): Co<void> {
  const end = vmStateOffset(metadata, virtualSize) + length;
  yield* metadata.lock.run(function* () {
    assertSupported(metadata);
    yield* growL1(metadata, Math.ceil(end / metadata.geometry.tableSpan));
  });
}

/** QEMU's order: as an id first, then as a name. @throws BlockError `not-found` */
export function findSnapshot(entries: readonly SnapshotEntry[], idOrName: string): SnapshotEntry {
  const found = entries.find(({ info }) => info.id === idOrName) ?? entries.find(({ info }) => info.name === idOrName);
  if (found !== undefined) return found;
  throw new BlockError('not-found', `The image has no snapshot with the id or name '${idOrName}'`);
}

/** @see SnapshotTable.create */
export function* createSnapshot(metadata: Metadata, virtualSize: number, request: SnapshotRequest): Co<SnapshotInfo> {
  return yield* metadata.lock.run(function* () {
    const draft = draftEntry(metadata, virtualSize, request);
    // Before anything is written: does one more fit?
    encodeSnapshotTable([...metadata.snapshots, draft]);
    yield* begin(metadata);
    const { l1 } = metadata;
    const stateFrom = vmStateOffset(metadata, virtualSize) / metadata.geometry.tableSpan;
    const withState = draft.info.vmStateSize > 0;
    const next = yield* switchTables(metadata, function* (counts) {
      const kept = new EntryTable(0, copyL1(l1, withState ? l1.entries : stateFrom));
      const active = new EntryTable(0, l1.grown(l1.length));
      yield* shareReferences(metadata, counts, { l1, entries: stateFrom, active, kept });
      if (withState) handOver(active, stateFrom);
      const l1Offset = yield* counts.place(kept.grown(kept.length));
      const entry = { ...draft, l1Offset, l1Entries: kept.entries };
      const snapshots = yield* placeSnapshots(metadata, counts, [...metadata.snapshots, entry]);
      return { l1: active.dirty ? yield* placeL1(metadata, counts, active) : l1, snapshots };
    });
    yield* settleSwitch(metadata, next);
    return draft.info;
  });
}

/**
 * @see SnapshotTable.apply
 * @param resized is told the disk's size in bytes when it is that of the snapshot
 */
export function* applySnapshot(metadata: Metadata, idOrName: string, resized: (size: number) => void): Co<void> {
  yield* metadata.lock.run(function* () {
    const { geometry, l1: old } = metadata;
    const entry = findSnapshot(metadata.snapshots, idOrName);
    const { diskSize } = entry.info;
    const kept = yield* readSnapshotL1(metadata, entry);
    vetL1(metadata, kept);
    yield* begin(metadata);
    const next = yield* switchTables(metadata, function* (counts) {
      const entries = Math.max(kept.entries, Math.ceil(diskSize / geometry.tableSpan));
      const active = new EntryTable(0, copyL1(kept, entries));
      yield* releaseReferences(metadata, counts, old);
      yield* shareReferences(metadata, counts, { l1: kept, entries: kept.entries, active });
      return { l1: yield* placeL1(metadata, counts, active), size: diskSize };
    });
    resized(diskSize);
    yield* settleSwitch(metadata, next, old);
  });
}

/** @see SnapshotTable.delete */
export function* deleteSnapshot(metadata: Metadata, idOrName: string): Co<void> {
  yield* metadata.lock.run(function* () {
    const entry = findSnapshot(metadata.snapshots, idOrName);
    const kept = yield* readSnapshotL1(metadata, entry);
    vetL1(metadata, kept);
    yield* begin(metadata);
    const { l1 } = metadata;
    const others = metadata.snapshots.filter((other) => other !== entry);
    const next = yield* switchTables(metadata, function* (counts) {
      yield* releaseReferences(metadata, counts, kept);
      yield* counts.giveUp(kept.offset, kept.length);
      const active = new EntryTable(0, l1.grown(l1.length));
      yield* markOwned(metadata, counts, active);
      const snapshots = yield* placeSnapshots(metadata, counts, others);
      return { l1: active.dirty ? yield* placeL1(metadata, counts, active) : l1, snapshots };
    });
    yield* settleSwitch(metadata, next, kept);
  });
}

/**
 * @see SnapshotTable.load
 * @returns bytes: the disk's size from now on
 */
export function* loadSnapshot(metadata: Metadata, idOrName: string): Co<number> {
  if (!metadata.settings.readOnly) {
    throw new BlockError('invalid', 'Only an image that is open read-only can show a snapshot: apply it instead');
  }
  return yield* metadata.lock.run(function* () {
    const entry = findSnapshot(metadata.snapshots, idOrName);
    metadata.l1 = yield* readSnapshotL1(metadata, entry);
    metadata.l2.clear();
    return entry.info.diskSize;
  });
}

// ── Steps ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function assertSupported(metadata: Metadata): void {
  metadata.assertWritable();
  if ((metadata.header.incompatibleFeatures & INCOMPATIBLE_DATA_FILE) === 0n) return;
  throw new BlockError(
    'unsupported',
    'The image keeps its data in an external data file, which internal snapshots do not protect: they are not supported with it',
  );
}

/** Everything is on stable storage, and nothing waits. */
function* begin(metadata: Metadata): Co<void> {
  assertSupported(metadata);
  vetL1(metadata, metadata.l1);
  yield* metadata.settleAll();
}

/** The number after the largest that is in use. QEMU: find_new_snapshot_id. */
function nextId(entries: readonly SnapshotEntry[]): string {
  let largest = 0n;
  for (const { info } of entries) {
    const digits = /^\s*\+?(\d{1,19})/.exec(info.id)?.[1];
    if (digits !== undefined && BigInt(digits) > largest) largest = BigInt(digits);
  }
  return String(largest + 1n);
}

function draftEntry(metadata: Metadata, virtualSize: number, request: SnapshotRequest): SnapshotEntry {
  const encoder = new TextEncoder();
  const nameBytes = encoder.encode(request.name);
  if (nameBytes.length > MAX_SNAPSHOT_TEXT_BYTES) {
    throw new BlockError(
      'invalid',
      `The snapshot's name takes ${nameBytes.length} bytes; the limit is ${MAX_SNAPSHOT_TEXT_BYTES}`,
    );
  }
  const nowMs = Date.now();
  const info: SnapshotInfo = {
    id: nextId(metadata.snapshots),
    name: request.name,
    dateSeconds: request.dateSeconds ?? Math.floor(nowMs / 1000),
    dateNanoseconds: request.dateNanoseconds ?? (request.dateSeconds === undefined ? (nowMs % 1000) * 1e6 : 0),
    vmClockNanoseconds: request.vmClockNanoseconds ?? 0n,
    ...(request.instructionCount === undefined ? {} : { instructionCount: request.instructionCount }),
    vmStateSize: request.vmStateSize ?? 0,
    diskSize: virtualSize,
  };
  return {
    info,
    idBytes: encoder.encode(info.id),
    nameBytes,
    l1Offset: 0,
    l1Entries: metadata.l1.entries,
    unknownExtra: new Uint8Array(0),
  };
}

/** The bytes of an L1 table of so many entries, with nothing marked as its own. */
function copyL1(table: EntryTable, entries: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(entries * ENTRY_LENGTH);
  const copy = new EntryTable(0, bytes);
  for (let index = 0; index < Math.min(table.entries, entries); index++) {
    copy.set(index, table.high(index) & ~ENTRY_COPIED, table.low(index));
  }
  return bytes;
}

/** The tables behind the disk's end have a new owner. */
function handOver(active: EntryTable, stateFrom: number): void {
  for (let index = stateFrom; index < active.entries; index++) {
    if (active.low(index) !== 0 || active.high(index) !== 0) active.set(index, 0, 0);
  }
}

/** Writes the disk's L1 table to a new place. */
function* placeL1({ file }: Metadata, counts: NextRefcounts, active: EntryTable): Co<EntryTable> {
  const bytes = active.grown(active.length);
  file.event('l1_update');
  return new EntryTable(yield* counts.place(bytes), bytes);
}

/** @throws BlockError `corrupt` when no L1 table can be where the entry leads, or it is too small for the disk */
export function* readSnapshotL1({ file, geometry }: Metadata, entry: SnapshotEntry): Co<EntryTable> {
  const { info, l1Offset, l1Entries } = entry;
  const length = l1Entries * ENTRY_LENGTH;
  const broken = (what: string): BlockError =>
    new BlockError('corrupt', `The L1 table of snapshot '${info.name}' ${what}: check the image`);
  if (length > MAX_L1_BYTES) throw broken(`has ${l1Entries} entries, more than ${MAX_L1_BYTES / ENTRY_LENGTH}`);
  const inHeader = l1Offset < geometry.clusterSize && length > 0;
  if (inHeader || l1Offset % geometry.clusterSize !== 0 || l1Offset + length > file.length) {
    throw broken(`is said to be at ${l1Offset}, where it cannot be`);
  }
  if (info.diskSize > (MAX_L1_BYTES / ENTRY_LENGTH) * geometry.tableSpan) {
    throw broken(`cannot reach over the disk of ${info.diskSize} bytes`);
  }
  const bytes = new Uint8Array(length);
  if (length > 0) yield* settle(file.read(l1Offset, bytes));
  return new EntryTable(l1Offset, bytes);
}

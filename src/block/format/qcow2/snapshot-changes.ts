/**
 * Internal snapshots: the disk's tables at a moment, kept beside the active ones, which share with them what has not changed since.
 *
 * Each change works on a settled image and switches to what is new with one write of the header's first sector:
 *
 *   create  counts all references once more, takes the "write in place" flags away, makes this stable; then the table that names
 *           the snapshot
 *   apply   counts the snapshot's references once more, writes its L1 table anew; then the header leads to that, with its size;
 *           then what the disk had before is given up
 *   delete  the table without it first; then what it referred to is given up, and flags are set where a count of one is left
 *
 * On the way counts are larger than what can be seen, never smaller: a power cut loses space, not data. In version 3 the dirty bit
 * is set meanwhile, so that who opens the image next corrects even that.
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
import { growL1 } from './resize.ts';
import { MAX_SNAPSHOT_TEXT_BYTES, type SnapshotEntry } from './snapshot-entry.ts';
import { encodeSnapshotTable } from './snapshot-table.ts';
import { markOwned, ReferenceIncrease, releaseReferences, vetL1 } from './snapshot-walk.ts';

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
    // Before anything is touched: does one more fit?
    encodeSnapshotTable([...metadata.snapshots, draft]);
    yield* begin(metadata);
    const stateFrom = vmStateOffset(metadata, virtualSize) / metadata.geometry.tableSpan;
    const withState = draft.info.vmStateSize > 0;
    const copy = copyL1(metadata.l1, withState ? metadata.l1.entries : stateFrom);
    const increase = new ReferenceIncrease(metadata, new EntryTable(0, copyL1(metadata.l1, stateFrom)));
    let l1Offset = 0;
    let entry: SnapshotEntry;
    try {
      l1Offset = yield* writeClusters(metadata, copy);
      entry = { ...draft, l1Offset, l1Entries: copy.length / ENTRY_LENGTH };
      yield* increase.run();
      shareActive(metadata, stateFrom);
      if (withState) handOver(metadata, stateFrom);
      yield* metadata.writeBack();
      yield* publishTable(metadata, [...metadata.snapshots, entry]);
    } catch (error) {
      if (withState) takeBack(metadata, new EntryTable(0, copy), stateFrom);
      releaseClusters(metadata, l1Offset, copy.length);
      yield* undo(metadata, increase);
      throw error;
    }
    yield* metadata.settleAll();
    return entry.info;
  });
}

/**
 * @see SnapshotTable.apply
 * @param resized is told the disk's size in bytes when it is that of the snapshot
 */
export function* applySnapshot(metadata: Metadata, idOrName: string, resized: (size: number) => void): Co<void> {
  yield* metadata.lock.run(function* () {
    const { geometry } = metadata;
    const entry = findSnapshot(metadata.snapshots, idOrName);
    const { diskSize } = entry.info;
    const table = yield* readSnapshotL1(metadata, entry);
    vetL1(metadata, table);
    yield* begin(metadata);
    const bytes = copyL1(table, Math.max(table.entries, Math.ceil(diskSize / geometry.tableSpan)));
    const increase = new ReferenceIncrease(metadata, table);
    const old = metadata.l1;
    const oldHeader = {
      l1TableOffset: metadata.header.l1TableOffset,
      l1Size: metadata.header.l1Size,
      size: metadata.header.size,
    };
    let l1Offset = 0;
    try {
      yield* increase.run();
      metadata.l2.clear();
      l1Offset = yield* writeClusters(metadata, bytes);
      yield* metadata.writeBack();
      useL1(metadata, new EntryTable(l1Offset, bytes));
      metadata.updateHeader({ l1TableOffset: l1Offset, l1Size: bytes.length / ENTRY_LENGTH, size: diskSize });
      yield* metadata.writeBack();
    } catch (error) {
      useL1(metadata, old);
      metadata.updateHeader(oldHeader);
      releaseClusters(metadata, l1Offset, bytes.length);
      yield* undo(metadata, increase);
      throw error;
    }
    resized(diskSize);
    yield* giveUp(metadata, old);
  });
}

/** @see SnapshotTable.delete */
export function* deleteSnapshot(metadata: Metadata, idOrName: string): Co<void> {
  yield* metadata.lock.run(function* () {
    const entry = findSnapshot(metadata.snapshots, idOrName);
    const table = yield* readSnapshotL1(metadata, entry);
    vetL1(metadata, table);
    yield* begin(metadata);
    yield* publishTable(
      metadata,
      metadata.snapshots.filter((other) => other !== entry),
    );
    yield* giveUp(metadata, table);
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

/** Everything is on stable storage, and the header says that counts are about to be changed. */
function* begin(metadata: Metadata): Co<void> {
  assertSupported(metadata);
  vetL1(metadata, metadata.l1);
  metadata.announceCounts();
  yield* metadata.writeBack();
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

/** Writes a table to clusters of its own. @returns where it is; 0: it is empty */
function* writeClusters(metadata: Metadata, bytes: Uint8Array): Co<number> {
  if (bytes.length === 0) return 0;
  const { clusterSize } = metadata.geometry;
  const count = Math.ceil(bytes.length / clusterSize);
  const run = yield* metadata.allocator.take(count, { exact: true });
  try {
    const padded = new Uint8Array(count * clusterSize);
    padded.set(bytes);
    yield* settle(metadata.file.write(run.first * clusterSize, padded));
  } catch (error) {
    metadata.frees.add(run.first, count, false);
    throw error;
  }
  return run.first * clusterSize;
}

/** Takes away a reference to the clusters of a table, with the next flush. */
function releaseClusters({ frees, geometry, settings }: Metadata, offset: number, length: number): void {
  if (offset === 0 || length === 0) return;
  frees.add(offset / geometry.clusterSize, Math.ceil(length / geometry.clusterSize), settings.passDiscardOther);
}

/** Nothing that the disk has is its own any more. */
function shareActive({ l1, l2 }: Metadata, tables: number): void {
  for (let index = 0; index < Math.min(tables, l1.entries); index++) {
    const high = l1.high(index);
    if ((high & ENTRY_COPIED) !== 0) l1.set(index, high & ~ENTRY_COPIED, l1.low(index));
  }
  l2.clear();
}

/** The tables behind the disk's end have a new owner. */
function handOver(metadata: Metadata, stateFrom: number): void {
  const { l1 } = metadata;
  for (let index = stateFrom; index < l1.entries; index++) {
    if (l1.low(index) !== 0 || l1.high(index) !== 0) l1.set(index, 0, 0);
  }
  metadata.noteActiveTables();
}

/** Undoes `handOver`. */
function takeBack(metadata: Metadata, copy: EntryTable, stateFrom: number): void {
  const { l1 } = metadata;
  for (let index = stateFrom; index < l1.entries; index++) {
    if (l1.low(index) === 0 && l1.high(index) === 0) l1.set(index, copy.high(index), copy.low(index));
  }
  metadata.l2.clear();
  metadata.noteActiveTables();
}

function useL1(metadata: Metadata, table: EntryTable): void {
  metadata.l1 = table;
  metadata.l2.clear();
  metadata.noteActiveTables();
}

/** Writes the snapshot table anew, and lets the header lead to it. On stable storage when it returns; unchanged if it fails. */
export function* publishTable(metadata: Metadata, entries: readonly SnapshotEntry[]): Co<void> {
  const bytes = encodeSnapshotTable(entries);
  const { nbSnapshots, snapshotsOffset } = metadata.header;
  const offset = yield* writeClusters(metadata, bytes);
  metadata.updateHeader({ nbSnapshots: entries.length, snapshotsOffset: offset });
  try {
    yield* metadata.writeBack();
  } catch (error) {
    metadata.updateHeader({ nbSnapshots, snapshotsOffset });
    releaseClusters(metadata, offset, bytes.length);
    throw error;
  }
  releaseClusters(metadata, snapshotsOffset, metadata.snapshotTableLength);
  metadata.useSnapshots(entries, bytes.length);
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

/** Gives up an L1 table that nothing on stable storage leads to any more, and all that it refers to. */
function* giveUp(metadata: Metadata, table: EntryTable): Co<void> {
  try {
    yield* releaseReferences(metadata, table);
    releaseClusters(metadata, table.offset, table.length);
    yield* metadata.writeBack();
    yield* markOwned(metadata);
    metadata.l2.clear();
    yield* metadata.settleAll();
  } catch (error) {
    // What is not counted down is lost space: whoever opens the image next finds it by the dirty bit.
    metadata.l2.clear();
    metadata.distrustCounts();
    throw error;
  }
}

/** After a failure, before anything led to what is new: counts and flags become what they were, if the storage allows. */
function* undo(metadata: Metadata, increase: ReferenceIncrease): Co<void> {
  try {
    // Whatever the header on the disk is now, it must lead to the old tables before anything of the new is given up.
    yield* metadata.writeBack();
    yield* increase.undo();
    yield* metadata.writeBack();
    yield* markOwned(metadata);
    metadata.l2.clear();
    yield* metadata.settleAll();
  } catch {
    // The failure that led here is reported. What could not be taken back is space that the dirty bit accounts for.
    metadata.l2.clear();
    metadata.distrustCounts();
  }
}

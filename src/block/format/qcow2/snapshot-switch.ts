/**
 * Making the header lead to other tables: an L1 table, a snapshot table, and the refcounts that belong to them. All that changes is
 * written elsewhere first. One write of the header's first sector then makes it what counts: a power cut before it leaves space that
 * is counted and not used, one after it leaves nothing to be done.
 */
import { settle, type Co } from '../../co.ts';
import { BlockError } from '../../error.ts';
import type { EntryTable } from './entry-table.ts';
import type { Qcow2Header } from './header.ts';
import { switchFields } from './header-change.ts';
import type { Metadata } from './metadata.ts';
import { NextRefcounts } from './next-refcounts.ts';
import type { SnapshotEntry } from './snapshot-entry.ts';
import { encodeSnapshotTable } from './snapshot-table.ts';
import { discardReleased, discardUnused } from './snapshot-walk.ts';

export interface NewTables {
  /** The disk's. What it refers to is counted. */
  readonly l1: EntryTable;
  /** If the snapshot table was written anew. */
  readonly snapshots?: PlacedSnapshots;
  /** Bytes of the disk, if that changes. */
  readonly size?: number;
}

interface PlacedSnapshots {
  readonly entries: readonly SnapshotEntry[];
  /** Where their table is, and how many bytes it takes. */
  readonly offset: number;
  readonly length: number;
}

/**
 * @param build writes tables, counts what they refer to, and gives up all that is not needed any more but the disk's old L1 table. The
 *   image is settled
 * @returns the refcounts that count now
 * @throws BlockError what `build` throws, and `NextRefcounts`, and the storage. Then nothing has changed; or it is not known whether the
 *   header is the new one, and nothing more is written
 */
export function* switchTables(metadata: Metadata, build: (next: NextRefcounts) => Co<NewTables>): Co<NextRefcounts> {
  const next = new NextRefcounts(metadata);
  try {
    const tables = yield* build(next);
    if (tables.l1 !== metadata.l1) yield* next.giveUp(metadata.l1.offset, metadata.l1.length);
    const written = yield* next.write();
    metadata.file.event('flush_to_disk');
    yield* settle(metadata.file.flush());
    metadata.file.event('refblock_alloc_switch_table');
    yield* switchFields(metadata, { ...fieldsFor(metadata, tables), ...written.fields });
    metadata.l1 = tables.l1;
    metadata.l2.clear();
    metadata.useRefcountTable(written.table);
    if (tables.snapshots !== undefined) metadata.useSnapshots(tables.snapshots.entries, tables.snapshots.length);
    return next;
  } catch (error) {
    if (metadata.intact) next.abandon();
    // It is not known which header is on the disk: what was taken stays taken, and no slice may be used to write in place.
    else metadata.l2.clear();
    throw error;
  }
}

function fieldsFor({ header }: Metadata, { l1, size = header.size, snapshots }: NewTables): Partial<Qcow2Header> {
  const fields = { l1TableOffset: l1.offset, l1Size: l1.entries, size };
  if (snapshots === undefined) return fields;
  return { ...fields, nbSnapshots: snapshots.entries.length, snapshotsOffset: snapshots.offset };
}

/** Writes the snapshot table anew, and gives up the old one. */
export function* placeSnapshots(
  { header, snapshotTableLength }: Metadata,
  next: NextRefcounts,
  entries: readonly SnapshotEntry[],
): Co<PlacedSnapshots> {
  const bytes = encodeSnapshotTable(entries);
  const offset = yield* next.place(bytes);
  yield* next.giveUp(header.snapshotsOffset, snapshotTableLength);
  return { entries, offset, length: bytes.length };
}

/**
 * After the switch: works off what had to wait for it, and tells the file of what became free, if that is wanted.
 *
 * @param released an L1 table that nothing leads to any more
 */
export function* settleSwitch(metadata: Metadata, next: NextRefcounts, released?: EntryTable): Co<void> {
  yield* metadata.settleAll();
  if (!metadata.settings.passDiscardOther) return;
  try {
    if (released !== undefined) yield* discardReleased(metadata, released);
    for (const { first, count } of next.takeGivenUp()) yield* discardUnused(metadata, first, count);
  } catch (error) {
    // The change is made and stable: what could not be read now only keeps its space in the file.
    if (!(error instanceof BlockError)) throw error;
  }
}

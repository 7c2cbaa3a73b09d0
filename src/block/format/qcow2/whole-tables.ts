/** The tables that an opened image holds in memory whole. */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { clusterSizeOf, type Qcow2Header } from './header.ts';
import { ENTRY_LENGTH } from './layout.ts';
import { readSnapshotTable, type SnapshotTableBytes } from './snapshot-table.ts';

/** The tables that are held in memory whole, as they were read. */
export interface WholeTables {
  readonly l1: Uint8Array<ArrayBuffer>;
  /** Undefined: the image is opened read-only, and nobody asks. */
  readonly refcountTable: Uint8Array<ArrayBuffer> | undefined;
  readonly snapshots: SnapshotTableBytes;
  /** Why the snapshot table could not be read: it is only to be checked, or repaired, then. */
  readonly snapshotFault: BlockError | undefined;
}

/**
 * Reads the L1 table, the snapshot table and, if the image is to be written, the refcount table. The header's limits on them have
 * been checked.
 *
 * @param forCheck an image with a damaged snapshot table is opened all the same
 * @throws BlockError `corrupt` when an image that is to be written has no refcount table or the snapshot table is damaged, `io`
 */
export function* readWholeTables(
  file: BlockChild,
  header: Qcow2Header,
  { readOnly, forCheck }: { readonly readOnly: boolean; readonly forCheck: boolean },
): Co<WholeTables> {
  const l1 = yield* readTable(file, header.l1TableOffset, header.l1Size * ENTRY_LENGTH);
  const snapshots = yield* readSnapshots(file, header, forCheck);
  if (readOnly) return { l1, refcountTable: undefined, ...snapshots };
  if (header.refcountTableClusters === 0) {
    throw new BlockError('corrupt', 'The image has no refcount table: check it with repair, or open it read-only');
  }
  const length = header.refcountTableClusters * clusterSizeOf(header);
  file.event('reftable_load');
  return { l1, refcountTable: yield* readTable(file, header.refcountTableOffset, length), ...snapshots };
}

function* readSnapshots(
  file: BlockChild,
  header: Qcow2Header,
  forCheck: boolean,
): Co<Pick<WholeTables, 'snapshots' | 'snapshotFault'>> {
  try {
    return { snapshots: yield* readSnapshotTable(file, header), snapshotFault: undefined };
  } catch (error) {
    if (!forCheck || !(error instanceof BlockError) || error.kind !== 'corrupt') throw error;
    return { snapshots: { entries: [], length: 0 }, snapshotFault: error };
  }
}

function* readTable(file: BlockChild, offset: number, length: number): Co<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  if (length > 0) yield* settle(file.read(offset, bytes));
  return bytes;
}

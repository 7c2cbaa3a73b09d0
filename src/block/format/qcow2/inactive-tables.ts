/** Where the L2 tables of an image's snapshots are, for who looks out for them before a write. */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { EntryTable } from './entry-table.ts';
import { ENTRY_LENGTH, ENTRY_OFFSET_HIGH, ENTRY_OFFSET_LOW } from './layout.ts';
import type { SnapshotEntry } from './snapshot-entry.ts';

/**
 * Reads the L1 tables of the snapshots. An offset that several lead to is there once.
 *
 * @returns offsets in bytes
 * @throws BlockError `corrupt` when a table is not in the file or the tables overlap, and what the storage throws
 */
export function* readInactiveL2(image: {
  readonly file: BlockChild;
  readonly snapshots: readonly SnapshotEntry[];
}): Co<ReadonlySet<number>> {
  const { file, snapshots } = image;
  const offsets = new Set<number>();
  let left = file.length;
  for (const { info, l1Offset, l1Entries } of snapshots) {
    const length = l1Entries * ENTRY_LENGTH;
    left -= length;
    if (left < 0 || l1Offset + length > file.length) {
      throw new BlockError(
        'corrupt',
        `The L1 table of snapshot ${info.id} (${info.name}) is said to be at ${l1Offset} in the file, where it cannot be: check the image`,
      );
    }
    const bytes = new Uint8Array(length);
    if (length > 0) yield* settle(file.read(l1Offset, bytes));
    const table = new EntryTable(l1Offset, bytes);
    for (let index = 0; index < table.entries; index++) {
      const offset = (table.high(index) & ENTRY_OFFSET_HIGH) * 2 ** 32 + ((table.low(index) & ENTRY_OFFSET_LOW) >>> 0);
      if (offset !== 0) offsets.add(offset);
    }
  }
  return offsets;
}

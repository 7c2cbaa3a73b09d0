/**
 * The tables of an opened QED image. A power cut leaves them sound, so the image need not be marked as one that must be checked: QEMU,
 * which writes tables as it goes, sets that mark (NEED_CHECK) before the first of them.
 */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { NumberTable } from '../shared/table-bytes.ts';
import { TwoLevelTables } from '../shared/two-level-tables.ts';
import { isTablePlace, tableSpan, type QedHeader } from './header.ts';
import { ENTRY_LENGTH } from './layout.ts';
import { roundUp } from '../../../binary/round-up.ts';

export class QedTables extends TwoLevelTables {
  header: QedHeader;

  private constructor(file: BlockChild, header: QedHeader, l1: NumberTable) {
    super({
      file,
      l1,
      clusterSize: header.clusterSize,
      tableBytes: header.tableSize * header.clusterSize,
      isTablePlace: (offset) => isTablePlace(header, offset, file.length),
    });
    this.header = header;
  }

  static *load(file: BlockChild, header: QedHeader): Co<QedTables> {
    return new QedTables(file, header, yield* readL1(file, header));
  }

  /** The disk has grown: more of the L1 table is of use, and no entry may wait to be written. */
  *grow(header: QedHeader): Co<void> {
    this.header = header;
    this.replaceL1(yield* readL1(this.file, header));
  }

  get l1Entries(): number {
    return Math.ceil(this.header.imageSize / this.tableSpan);
  }
}

/** Only as much of the table as the disk's size has use for: a header may claim a table of a gigabyte. */
function* readL1(file: BlockChild, header: QedHeader): Co<NumberTable> {
  const entries = Math.ceil(header.imageSize / tableSpan(header));
  const bytes = new Uint8Array(roundUp(Math.max(1, entries) * ENTRY_LENGTH, SECTOR_SIZE));
  yield* settle(file.read(header.l1TableOffset, bytes));
  return new NumberTable(header.l1TableOffset, bytes, { bytes: 8, littleEndian: true });
}

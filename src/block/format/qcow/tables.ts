/** The tables of an opened qcow image. */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { NumberTable } from '../shared/table-bytes.ts';
import { TwoLevelTables } from '../shared/two-level-tables.ts';
import { l1Entries, type QcowHeader } from './header.ts';
import { COMPRESSED_HIGH, ENTRY_LENGTH } from './layout.ts';

/** An L2 entry, taken apart. Of a cluster that is stored nowhere `hostOffset` is 0. */
export interface QcowEntry {
  readonly hostOffset: number;
  /** Bytes of a compressed cluster in the file; 0: the cluster is stored as it is. */
  readonly compressedLength: number;
}

export class QcowTables extends TwoLevelTables {
  readonly header: QcowHeader;
  readonly clusterSize: number;
  /** Where the L1 table ends: nothing that an entry leads to is in front of it. */
  readonly #dataStart: number;
  /** What one byte of a compressed cluster's length counts in the upper half of its entry. */
  readonly #lengthUnit: number;

  private constructor(file: BlockChild, header: QcowHeader, l1: NumberTable) {
    const dataStart = header.l1TableOffset + l1TableBytes(header);
    const tableBytes = 2 ** header.l2Bits * ENTRY_LENGTH;
    super({
      file,
      l1,
      clusterSize: 2 ** header.clusterBits,
      tableBytes,
      isTablePlace: (offset) =>
        offset % ENTRY_LENGTH === 0 && offset >= dataStart && offset + tableBytes <= file.length,
    });
    this.header = header;
    this.clusterSize = 2 ** header.clusterBits;
    this.#dataStart = dataStart;
    this.#lengthUnit = 2 ** (31 - header.clusterBits);
  }

  /** @throws BlockError `unsupported` for writing to an L1 table whose entries a power cut could tear apart */
  static *load(file: BlockChild, header: QcowHeader, readOnly: boolean): Co<QcowTables> {
    if (!readOnly && header.l1TableOffset % ENTRY_LENGTH !== 0) {
      throw new BlockError(
        'unsupported',
        `l1_table_offset ${header.l1TableOffset} is not a multiple of 8: the image can be read, not written`,
      );
    }
    return new QcowTables(file, header, yield* readL1(file, header));
  }

  /** @throws BlockError `corrupt` when it leads to where no cluster can be */
  entry(slot: number, index: number, guestOffset: number): QcowEntry {
    const view = this.l2.view(slot);
    const at = this.l2.start(slot) + index * ENTRY_LENGTH;
    const high = view.getUint32(at);
    const low = view.getUint32(at + 4);
    if (high < COMPRESSED_HIGH) {
      const hostOffset = high * 2 ** 32 + low;
      if (hostOffset !== 0) this.#checkPlace(hostOffset, this.clusterSize, guestOffset);
      return { hostOffset, compressedLength: 0 };
    }
    const compressedLength = Math.floor((high - COMPRESSED_HIGH) / this.#lengthUnit);
    const hostOffset = ((high - COMPRESSED_HIGH) % this.#lengthUnit) * 2 ** 32 + low;
    if (compressedLength === 0) {
      throw new BlockError(
        'corrupt',
        `The L2 entry of the guest cluster at offset ${guestOffset} says that it is compressed to 0 bytes`,
        { offset: guestOffset },
      );
    }
    this.#checkPlace(hostOffset, compressedLength, guestOffset);
    return { hostOffset, compressedLength };
  }

  #checkPlace(hostOffset: number, length: number, guestOffset: number): void {
    const end = hostOffset + length;
    if (hostOffset >= this.#dataStart && end <= this.file.length) return;
    throw new BlockError(
      'corrupt',
      `The L2 entry of the guest cluster at offset ${guestOffset} leads to ${length} bytes at ${hostOffset}, which are not in the file of ${this.file.length} bytes: it was cut off, or the table is damaged`,
      { offset: guestOffset },
    );
  }

  /** Where a compressed cluster must begin below, so that its entry can say so. */
  get compressedLimit(): number {
    return Math.min(this.#lengthUnit * 2 ** 32, Number.MAX_SAFE_INTEGER);
  }

  setEntry(slot: number, index: number, hostOffset: number, compressedLength = 0): void {
    const view = this.l2.view(slot);
    const at = this.l2.start(slot) + index * ENTRY_LENGTH;
    const flags = compressedLength === 0 ? 0 : COMPRESSED_HIGH + compressedLength * this.#lengthUnit;
    view.setUint32(at, flags + Math.floor(hostOffset / 2 ** 32));
    view.setUint32(at + 4, hostOffset % 2 ** 32);
    this.l2.markDirty(slot);
  }

  /**
   * Gives everything back. The file is cut off when nothing on stable storage leads to what was in it.
   *
   * @throws what the storage throws; until the table is written the image is as it was
   */
  *makeEmpty(): Co<void> {
    yield* this.writeBack();
    const bytes = new Uint8Array(l1TableBytes(this.header));
    yield* settle(this.file.write(this.header.l1TableOffset, bytes));
    this.replaceL1(new NumberTable(this.header.l1TableOffset, bytes, { bytes: 8, littleEndian: false }));
    yield* settle(this.file.flush());
    yield* settle(this.file.truncate(this.#dataStart));
    this.endsAt(this.#dataStart);
    yield* settle(this.file.flush());
  }
}

function l1TableBytes(header: QcowHeader): number {
  return l1Entries(header) * ENTRY_LENGTH;
}

function* readL1(file: BlockChild, header: QcowHeader): Co<NumberTable> {
  const bytes = new Uint8Array(l1TableBytes(header));
  yield* settle(file.read(header.l1TableOffset, bytes));
  return new NumberTable(header.l1TableOffset, bytes, { bytes: 8, littleEndian: false });
}

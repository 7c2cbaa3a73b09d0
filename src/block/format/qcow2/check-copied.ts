/**
 * The flag in the active L1 and L2 tables that says "this has a refcount of one and may be written in place". A flag that is
 * set wrongly would let a write go into a cluster that somebody else uses too.
 */
import { settle, type Co } from '../../co.ts';
import { entryOffset, entryText, type CheckedImage, type Region } from './check-image.ts';
import type { CheckFindings } from './check-findings.ts';
import { RefcountReader, type Comparison } from './check-refcounts.ts';
import { isBrokenReservation, misalignment } from './check-walk.ts';
import { ENTRY_COPIED, ENTRY_LENGTH, L2_COMPRESSED, L2_ZERO } from './layout.ts';

const L1_PIECE_ENTRIES = 65_536;

/** What is wrong with one entry, and what it would have to be. */
interface EntryFault {
  readonly index: number;
  readonly high: number;
  readonly low: number;
  /** The flag is wrong, or space is reserved where none can be. */
  readonly kind: 'copied' | 'reservation';
}

/**
 * Looks at the flags, after the refcounts have been corrected.
 *
 * With `all` they are mended; with `leaks` only if nothing else is wrong, so that the refcounts they follow are right.
 */
export function* checkCopiedFlags(image: CheckedImage, { isOne }: Pick<Comparison, 'isOne'>): Co<void> {
  const checker = new FlagChecker(image, isOne);
  yield* checker.checkL1();
  const { activeUses } = image;
  for (let cluster = 0; cluster < activeUses.length; cluster++) {
    if (activeUses.get(cluster) === 0) continue;
    yield* checker.checkL2(cluster);
    yield* image.pause(cluster);
  }
}

class FlagChecker {
  readonly #image: CheckedImage;
  readonly #findings: CheckFindings;
  readonly #isOne: Uint8Array;
  readonly #reader: RefcountReader;
  readonly #repair: boolean;

  constructor(image: CheckedImage, isOne: Uint8Array) {
    this.#image = image;
    this.#findings = image.findings;
    this.#isOne = isOne;
    this.#reader = new RefcountReader(image);
    this.#repair = image.findings.fix === 'all' || (image.findings.fix === 'leaks' && image.findings.clean);
  }

  *checkL1(): Co<void> {
    const { l1Offset, l1Entries } = this.#image.tables;
    // Piece by piece, so that a table that is wrong throughout does not fill the memory with faults.
    for (let first = 0; first < l1Entries; first += L1_PIECE_ENTRIES) {
      yield* this.#checkL1Piece(l1Offset + first * ENTRY_LENGTH, first, Math.min(L1_PIECE_ENTRIES, l1Entries - first));
    }
  }

  *#checkL1Piece(offset: number, firstIndex: number, entries: number): Co<void> {
    const { tables } = this.#image;
    const faults: EntryFault[] = [];
    yield* this.#image.eachPiece(offset, entries, (piece, first, count) => {
      for (let index = 0; index < count; index++) {
        const { high, low } = entryAt(piece, index);
        const l2Offset = entryOffset(high, low);
        if (l2Offset === 0 || this.#isRight(high, l2Offset)) continue;
        faults.push({ index: firstIndex + first + index, high, low, kind: 'copied' });
      }
      return false;
    });
    if (faults.length === 0) return;
    const repairable =
      this.#repair && !this.#overlapsOther({ offset: tables.l1Offset, length: tables.l1Entries * ENTRY_LENGTH }, 'l1');
    for (const fault of faults) {
      const words = yield* this.#copiedWords(`L2 cluster: l1_index=${fault.index} l1_entry=`, fault);
      if (words !== undefined) yield* this.#settleFault(tables.l1Offset, fault, words, 1, repairable);
    }
  }

  *checkL2(cluster: number): Co<void> {
    const { clusterSize, activeUses } = this.#image;
    const offset = cluster * clusterSize;
    const faults: EntryFault[] = [];
    yield* this.#image.eachPiece(offset, clusterSize / ENTRY_LENGTH, (piece, first, count) => {
      for (let index = 0; index < count; index++) {
        const { high, low } = entryAt(piece, index);
        const kind = this.#l2Fault(high, low);
        if (kind !== undefined) faults.push({ index: first + index, high, low, kind });
      }
      return false;
    });
    const repairable = this.#repair && !this.#overlapsOther({ offset, length: clusterSize }, 'l2');
    for (const fault of faults) {
      const words =
        fault.kind === 'copied' ? yield* this.#copiedWords('data cluster: l2_entry=', fault) : ' of a reservation';
      if (words !== undefined) yield* this.#settleFault(offset, fault, words, activeUses.get(cluster), repairable);
    }
  }

  #l2Fault(high: number, low: number): EntryFault['kind'] | undefined {
    const offset = entryOffset(high, low);
    if ((high & L2_COMPRESSED) !== 0 || offset === 0) return undefined;
    // Without a repair the walk has reported it already, and counted what it reserves.
    const broken = this.#findings.fix === 'all' && isBrokenReservation(high, low, this.#image.clusterSize);
    if (broken) return 'reservation';
    return this.#isRight(high, offset) ? undefined : 'copied';
  }

  /** Cheap: for clusters inside the file the answer is in memory. */
  #isRight(high: number, offset: number): boolean {
    const cluster = this.#image.clusterOf(offset);
    const isOne = ((this.#isOne[Math.floor(cluster / 8)] ?? 0) & (1 << (cluster % 8))) !== 0;
    return isOne === ((high & ENTRY_COPIED) !== 0);
  }

  /** @returns undefined when the refcount, read from the file, shows that the flag is right or cannot be told */
  *#copiedWords(what: string, { high, low }: EntryFault): Co<string | undefined> {
    const count = yield* this.#reader.count(this.#image.clusterOf(entryOffset(high, low)));
    if (count === undefined || (count === 1) === ((high & ENTRY_COPIED) !== 0)) return undefined;
    return `OFLAG_COPIED ${what}${entryText(high, low)} refcount=${count}`;
  }

  /** Mends an entry, or reports it. @param uses how many entries lead to the table: qemu-img looks at it that often */
  *#settleFault(table: number, fault: EntryFault, words: string, uses: number, repairable: boolean): Co<void> {
    const { high, low, kind } = fault;
    const text = (verb: 'ERROR' | 'Repairing'): string =>
      kind === 'copied' ? `${verb} ${words}` : misalignment(verb, high, low);
    if (!repairable) {
      this.#findings.corruption(text('ERROR'), entryOffset(high, low), uses);
      return;
    }
    const bytes = new Uint8Array(ENTRY_LENGTH);
    const view = new DataView(bytes.buffer);
    if (kind === 'copied') {
      view.setUint32(0, (high & ENTRY_COPIED) === 0 ? high + ENTRY_COPIED : high - ENTRY_COPIED);
      view.setUint32(4, low);
    } else {
      view.setUint32(4, L2_ZERO);
    }
    yield* settle(this.#image.file.write(table + fault.index * ENTRY_LENGTH, bytes));
    this.#findings.fixed('corruption', text('Repairing'), entryOffset(high, low));
  }

  /**
   * Whether a table lies on the header or on a table of another kind: a repair must not write there. It cannot lie on a refcount
   * block: these have been built anew if anything else led to one.
   */
  #overlapsOther(table: Region, kind: 'l1' | 'l2'): boolean {
    const { tables, clusterSize } = this.#image;
    const others: Region[] = [
      { offset: 0, length: clusterSize },
      { offset: tables.refcountTableOffset, length: tables.refcountTableClusters * clusterSize },
    ];
    if (kind === 'l2') others.push({ offset: tables.l1Offset, length: tables.l1Entries * ENTRY_LENGTH });
    const end = table.offset + table.length;
    return others.some(({ offset, length }) => offset < end && table.offset < offset + length);
  }
}

function entryAt(piece: DataView, index: number): { high: number; low: number } {
  return { high: piece.getUint32(index * ENTRY_LENGTH), low: piece.getUint32(index * ENTRY_LENGTH + 4) };
}

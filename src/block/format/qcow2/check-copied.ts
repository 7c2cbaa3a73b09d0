/**
 * The flag in the active L1 and L2 tables that says "this has a refcount of one and may be written in place". A flag that is
 * set wrongly would let a write go into a cluster that somebody else uses too.
 */
import type { Co } from '../../co.ts';
import { entryOffset, entryText, type CheckedImage, type Region } from './check-image.ts';
import type { CheckFindings } from '../shared/check-findings.ts';
import { storedRefcount, type Comparison } from './check-refcounts.ts';
import { isBrokenReservation, misalignment } from './check-walk.ts';
import { ENTRY_COPIED, ENTRY_LENGTH, L2_COMPRESSED, L2_ZERO } from './layout.ts';

interface EntryFault {
  readonly high: number;
  readonly low: number;
  /** The flag is wrong, or missing from data in an external file, or space is reserved where none can be. */
  readonly kind: 'copied' | 'external' | 'reservation';
}

/** A table of one kind or the other, while it is looked at. */
interface CheckedTable {
  /** How many entries lead to it: qemu-img looks at it that often. */
  readonly uses: number;
  /** Bytes of an entry. */
  readonly entryLength: number;
  readonly repairable: boolean;
  /** Whether reservations in it may be dropped: not where that would change what another table refers to. */
  readonly dropsReservations: boolean;
  fault(high: number, low: number): EntryFault['kind'] | undefined;
  /** What qemu-img calls an entry, up to its value. */
  words(index: number): string;
}

/**
 * Looks at the flags, after the refcounts have been corrected.
 *
 * With `all` they are mended; with `leaks` only if nothing else is wrong, so that the refcounts they follow are right.
 */
export function* checkCopiedFlags(image: CheckedImage, { isOne }: Pick<Comparison, 'isOne'>): Co<void> {
  const checker = new FlagChecker(image, isOne);
  yield* checker.checkL1();
  // A repair may have changed tables and refcounts since their references were counted.
  if (image.findings.fix === 'none' && image.flags.follow(isOne)) return;
  // In the tables of snapshots the flag says nothing, but what they reserve for nothing is mended too.
  const uses = image.hasBrokenReservation ? image.tableUses : image.activeUses;
  for (let cluster = uses.nextUsed(0); cluster < uses.length; cluster = uses.nextUsed(cluster + 1)) {
    yield* checker.checkL2(cluster);
    yield* image.pause(cluster);
  }
}

class FlagChecker {
  readonly #image: CheckedImage;
  readonly #findings: CheckFindings;
  readonly #isOne: Uint8Array;
  readonly #repair: boolean;

  constructor(image: CheckedImage, isOne: Uint8Array) {
    this.#image = image;
    this.#findings = image.findings;
    this.#isOne = isOne;
    this.#repair = image.findings.fix === 'all' || (image.findings.fix === 'leaks' && image.findings.clean);
  }

  *checkL1(): Co<void> {
    const { l1Offset, l1Entries } = this.#image.tables;
    const repairable =
      this.#repair && !this.#overlapsOther({ offset: l1Offset, length: l1Entries * ENTRY_LENGTH }, 'l1');
    yield* this.#checkTable(l1Offset, l1Entries, {
      uses: 1,
      entryLength: ENTRY_LENGTH,
      repairable,
      dropsReservations: false,
      fault: (high, low) => this.#l1Fault(high, low),
      words: (index) => `L2 cluster: l1_index=${index} l1_entry=`,
    });
  }

  *checkL2(cluster: number): Co<void> {
    const { clusterSize, activeUses } = this.#image;
    const offset = cluster * clusterSize;
    yield* this.#checkTable(offset, clusterSize / ENTRY_LENGTH, {
      uses: activeUses.get(cluster),
      entryLength: this.#image.tables.l2EntryLength,
      repairable: this.#repair && !this.#overlapsOther({ offset, length: clusterSize }, 'l2'),
      dropsReservations: this.#image.otherTables.get(cluster) === 0,
      fault: (high, low) => this.#l2Fault(high, low, activeUses.get(cluster) > 0),
      words: () => 'data cluster: l2_entry=',
    });
  }

  *#checkTable(offset: number, entries: number, table: CheckedTable): Co<void> {
    yield* this.#image.eachPiece(offset, entries, (piece, first, count) => {
      return this.#checkPiece(piece, first, count, table);
    });
  }

  /** @returns whether the piece was changed */
  *#checkPiece(piece: DataView, first: number, count: number, table: CheckedTable): Co<boolean> {
    let changed = false;
    for (let index = 0; index < count; index += table.entryLength / ENTRY_LENGTH) {
      const high = piece.getUint32(index * ENTRY_LENGTH);
      const low = piece.getUint32(index * ENTRY_LENGTH + 4);
      const kind = table.fault(high, low);
      if (kind === undefined) continue;
      const words = yield* this.#faultWords({ high, low, kind }, table.words(first + index));
      if (words === undefined) continue;
      const offset = entryOffset(high, low);
      if (table.repairable && (kind !== 'reservation' || table.dropsReservations)) {
        mend(piece, index, { high, low, kind });
        changed = true;
        this.#findings.fixed('corruption', `Repairing ${words}`, offset);
      } else {
        this.#findings.corruption(`ERROR ${words}`, offset, table.uses);
      }
    }
    return changed;
  }

  #l1Fault(high: number, low: number): EntryFault['kind'] | undefined {
    const offset = entryOffset(high, low);
    return offset === 0 || this.#isRight(high, offset) ? undefined : 'copied';
  }

  #l2Fault(high: number, low: number, active: boolean): EntryFault['kind'] | undefined {
    const offset = entryOffset(high, low);
    if ((high & L2_COMPRESSED) !== 0 || offset === 0) return undefined;
    // Without a repair the walk has reported it already, and counted what it reserves.
    const broken = this.#findings.fix === 'all' && isBrokenReservation(high, low, this.#image);
    if (broken) return 'reservation';
    if (!active) return undefined;
    if (this.#image.tables.externalData) return (high & ENTRY_COPIED) === 0 ? 'external' : undefined;
    return this.#isRight(high, offset) ? undefined : 'copied';
  }

  /** Cheap: for clusters inside the file the answer is in memory. */
  #isRight(high: number, offset: number): boolean {
    const cluster = this.#image.clusterOf(offset);
    const isOne = ((this.#isOne[Math.floor(cluster / 8)] ?? 0) & (1 << (cluster % 8))) !== 0;
    return isOne === ((high & ENTRY_COPIED) !== 0);
  }

  /** @returns undefined when the refcount, read from the file, shows that the flag is right or cannot be told */
  *#faultWords({ high, low, kind }: EntryFault, what: string): Co<string | undefined> {
    if (kind === 'reservation') return misalignment(high, low, this.#image);
    if (kind === 'external') return `OFLAG_COPIED ${what}${entryText(high, low)} refcount=1`;
    const cluster = this.#image.clusterOf(entryOffset(high, low));
    // For clusters that were compared it is known that the flag is wrong; only the words need the count.
    if (this.#findings.full && cluster < this.#image.references.length) return '';
    const count = yield* storedRefcount(this.#image, cluster);
    if (count === undefined || (count === 1) === ((high & ENTRY_COPIED) !== 0)) return undefined;
    return `OFLAG_COPIED ${what}${entryText(high, low)} refcount=${count}`;
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

function mend(piece: DataView, index: number, { high, kind }: EntryFault): void {
  const at = index * ENTRY_LENGTH;
  if (kind !== 'reservation') {
    piece.setUint32(at, (high & ENTRY_COPIED) === 0 ? high + ENTRY_COPIED : high - ENTRY_COPIED);
    return;
  }
  piece.setUint32(at, 0);
  piece.setUint32(at + 4, L2_ZERO);
}

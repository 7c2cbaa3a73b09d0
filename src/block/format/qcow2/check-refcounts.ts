/** Compares the refcounts that are stored in the file with the references that were counted, and corrects them in place. */
import { settle, type Co } from '../../co.ts';
import { entryOffset, type CheckedImage } from './check-image.ts';
import { CheckFindings } from '../shared/check-findings.ts';
import { ENTRY_LENGTH, REFCOUNT_TABLE_RESERVED_LOW } from './layout.ts';
import { refcountValues, type RefcountValues } from './refcount-values.ts';

/** What a refcount table entry leads to. */
type BlockPlace = number | 'none' | 'unaligned';

/**
 * Counts the clusters of the refcount table and its blocks.
 *
 * @param times 1, or -1 to take them out again
 * @returns what is wrong with the structures; if anything is, they must be built anew
 */
export function* walkRefcountStructures(image: CheckedImage, times: 1 | -1): Co<CheckFindings> {
  const { tables, clusterSize } = image;
  const entries = (tables.refcountTableClusters * clusterSize) / ENTRY_LENGTH;
  const findings = new CheckFindings('none');
  const broken = (message: string, offset: number): void => findings.corruption(message, offset);
  referTable(image, times, findings);
  yield* image.eachPiece(tables.refcountTableOffset, entries, (piece, first, count) => {
    for (let at = 0; at < count; at++) {
      const low = piece.getUint32(at * ENTRY_LENGTH + 4);
      const offset = entryOffset(piece.getUint32(at * ENTRY_LENGTH), low);
      const block = first + at;
      if ((low & REFCOUNT_TABLE_RESERVED_LOW) !== 0) {
        broken(`ERROR refcount table entry ${block} has reserved bits set`, offset);
      } else if (offset % clusterSize !== 0) {
        broken(`ERROR refcount block ${block} is not cluster aligned; refcount table entry corrupted`, offset);
      } else if (image.clusterOf(offset) >= image.fileClusters) {
        broken(`ERROR refcount block ${block} is outside image`, offset);
      } else if (offset !== 0) {
        image.references.add(image.clusterOf(offset), times);
        const uses = image.references.get(image.clusterOf(offset));
        if (times === 1 && uses !== 1) broken(`ERROR refcount block ${block} refcount=${uses}`, offset);
      }
    }
  });
  return findings;
}

function referTable(image: CheckedImage, times: 1 | -1, findings: CheckFindings): void {
  const { tables, clusterSize } = image;
  const length = tables.refcountTableClusters * clusterSize;
  if (times === 1) image.refer(tables.refcountTableOffset, length, 1, findings);
  else if (!image.isOutside(tables.refcountTableOffset, length)) {
    const first = image.clusterOf(tables.refcountTableOffset);
    for (let cluster = 0; cluster < tables.refcountTableClusters; cluster++) image.references.add(first + cluster, -1);
  }
}

export interface Comparison {
  readonly findings: CheckFindings;
  /** A cluster that is in use is not counted at all: nothing may be allocated before that is mended. */
  readonly uncounted: boolean;
  /** Refcounts that the check itself made wrong wait to be corrected. */
  readonly pending: boolean;
  /** Some of those are in no refcount block. */
  readonly blocksMissing: boolean;
  /** A bit per cluster: its stored refcount is exactly one. */
  readonly isOne: Uint8Array;
}

/** @param fix which differences are corrected in the file: too high ones for `leaks`, all for `all` */
export function* compareRefcounts(image: CheckedImage, fix: CheckFindings['fix']): Co<Comparison> {
  const comparer = new Comparer(image, fix);
  image.highestCluster = -1;
  const { references, tables, clusterSize } = image;
  const { perBlock } = comparer.values;
  const counted = (tables.refcountTableClusters * clusterSize) / ENTRY_LENGTH;
  for (let block = 0; block * perBlock < references.length; block++) {
    // What the table does not reach has a count of 0: only what is referred to there is a finding.
    if (block >= counted) block = Math.floor(references.nextUsed(block * perBlock) / perBlock);
    yield* comparer.compareBlock(block);
    yield* image.pause(block * perBlock);
  }
  return comparer;
}

class Comparer implements Comparison {
  readonly findings: CheckFindings;
  readonly values: RefcountValues;
  readonly isOne: Uint8Array;
  uncounted = false;
  pending = false;
  blocksMissing = false;
  readonly #image: CheckedImage;
  readonly #reader: RefcountReader;

  constructor(image: CheckedImage, fix: CheckFindings['fix']) {
    this.findings = new CheckFindings(fix);
    this.values = refcountValues(image.tables.refcountBits, image.clusterSize);
    this.isOne = new Uint8Array(Math.ceil(image.references.length / 8));
    this.#image = image;
    this.#reader = new RefcountReader(image);
  }

  *compareBlock(block: number): Co<void> {
    const { references } = this.#image;
    const first = block * this.values.perBlock;
    const end = Math.min(first + this.values.perBlock, references.length);
    const place = yield* this.#reader.place(block);
    if (place === 'unaligned') {
      for (let cluster = first; cluster < end; cluster++) {
        this.findings.error(`Can't get refcount for cluster ${cluster}: its refcount block is not aligned`);
      }
    } else if (place === 'none') {
      if (!references.noneIn(first, end)) this.#compareWithoutBlock(first, end);
    } else {
      yield* this.#compareStored(place, first, end);
    }
  }

  #compareWithoutBlock(first: number, end: number): void {
    for (let cluster = first; cluster < end; cluster++) {
      if (this.#wanted(cluster) === 0) continue;
      this.blocksMissing = true;
      this.#image.highestCluster = cluster;
      this.#compareOne(cluster, 0, false);
    }
  }

  *#compareStored(place: number, first: number, end: number): Co<void> {
    const view = yield* this.#reader.load(place);
    let changed = false;
    const { references } = this.#image;
    for (let cluster = first; cluster < end; cluster++) {
      const stored = this.values.get(view, cluster - first);
      if (stored === references.get(cluster)) {
        // As nearly all of them are.
        if (stored === 0) continue;
        this.#image.highestCluster = cluster;
        if (stored === 1) this.isOne[cluster >>> 3]! |= 1 << (cluster & 7);
        continue;
      }
      const wanted = this.#wanted(cluster);
      let now = stored;
      if (this.#compareOne(cluster, stored, true)) {
        this.values.set(view, cluster - first, wanted);
        now = wanted;
        changed = true;
      }
      if (now > 0 || wanted > 0) this.#image.highestCluster = cluster;
      if (now === 1) this.isOne[Math.floor(cluster / 8)]! |= 1 << (cluster % 8);
    }
    if (changed) yield* settle(this.#image.file.write(place, new Uint8Array(view.buffer)));
  }

  /** As many references as a refcount can say; more are a corruption that no refcount mends. */
  #wanted(cluster: number): number {
    return Math.min(this.#image.references.get(cluster), this.values.largest);
  }

  /** @returns whether the stored count is to be corrected */
  #compareOne(cluster: number, stored: number, correctable: boolean): boolean {
    const { findings } = this;
    const offset = cluster * this.#image.clusterSize;
    const excess = this.#image.references.get(cluster) - this.values.largest;
    if (excess > 0) {
      findings.corruption(`ERROR: overflow cluster offset=0x${offset.toString(16)}`, offset, excess);
    }
    const wanted = this.#wanted(cluster);
    if (stored === wanted) return false;
    if (this.#image.moved.has(cluster)) {
      this.pending = true;
      return correctable && findings.fix === 'all';
    }
    if (stored === 0) this.uncounted = true;
    const words = `cluster ${cluster} refcount=${stored} reference=${wanted}`;
    const corrected = correctable && (findings.fix === 'all' || (findings.fix === 'leaks' && stored > wanted));
    if (corrected) findings.fixed(stored > wanted ? 'leak' : 'corruption', `Repairing ${words}`, offset);
    else if (stored > wanted) findings.leak(`Leaked ${words}`, offset);
    else findings.corruption(`ERROR ${words}`, offset);
    return corrected;
  }
}

/** Reads refcount blocks in their order; keeps the piece of the table and the block that were used last. */
class RefcountReader {
  readonly #image: CheckedImage;
  #tablePiece: { readonly first: number; readonly view: DataView } | undefined;
  #block: { readonly offset: number; readonly view: DataView } | undefined;

  constructor(image: CheckedImage) {
    this.#image = image;
  }

  /** Where a refcount block is. Beyond the table and outside the file there is none. */
  *place(block: number): Co<BlockPlace> {
    const { tables, clusterSize, fileLength } = this.#image;
    const entriesPerPiece = clusterSize / ENTRY_LENGTH;
    if (block >= tables.refcountTableClusters * entriesPerPiece) return 'none';
    const first = Math.floor(block / entriesPerPiece) * entriesPerPiece;
    if (this.#tablePiece?.first !== first) {
      const bytes = new Uint8Array(clusterSize);
      yield* settle(this.#image.file.read(tables.refcountTableOffset + first * ENTRY_LENGTH, bytes));
      this.#tablePiece = { first, view: new DataView(bytes.buffer) };
    }
    const at = (block - first) * ENTRY_LENGTH;
    const { view } = this.#tablePiece;
    const offset = entryOffset(view.getUint32(at), view.getUint32(at + 4));
    if (offset % clusterSize !== 0) return 'unaligned';
    return offset === 0 || offset >= fileLength ? 'none' : offset;
  }

  /** The block at a place that `place` gave. */
  *load(offset: number): Co<DataView> {
    if (this.#block?.offset !== offset) {
      const bytes = new Uint8Array(this.#image.clusterSize);
      yield* settle(this.#image.file.read(offset, bytes));
      this.#block = { offset, view: new DataView(bytes.buffer) };
    }
    return this.#block.view;
  }
}

/**
 * Counts a region that nothing leads to yet, where there are blocks that do, so that it is not taken for free if the power is cut
 * when something does. The refcount structures are sound.
 */
export function* countBeforehand(image: CheckedImage, offset: number, length: number): Co<void> {
  const { clusterSize, tables, file } = image;
  const { perBlock, set } = refcountValues(tables.refcountBits, clusterSize);
  const reader = new RefcountReader(image);
  const end = Math.ceil((offset + length) / clusterSize);
  for (let cluster = image.clusterOf(offset); cluster < end;) {
    const block = Math.floor(cluster / perBlock);
    const stop = Math.min(end, (block + 1) * perBlock);
    const place = yield* reader.place(block);
    if (typeof place === 'number') {
      const view = yield* reader.load(place);
      for (let at = cluster; at < stop; at++) set(view, at - block * perBlock, 1);
      yield* settle(file.write(place, new Uint8Array(view.buffer)));
    }
    cluster = stop;
  }
}

/**
 * Reads one refcount, and no more than it takes: who asks for many, all over the file, must not read a block for each.
 *
 * @returns 0 where none is stored, undefined where it cannot be told
 */
export function* storedRefcount(image: CheckedImage, cluster: number): Co<number | undefined> {
  const { tables, clusterSize, file } = image;
  const values = refcountValues(tables.refcountBits, clusterSize);
  const block = Math.floor(cluster / values.perBlock);
  if (block >= (tables.refcountTableClusters * clusterSize) / ENTRY_LENGTH) return 0;
  const bytes = new Uint8Array(ENTRY_LENGTH);
  const view = new DataView(bytes.buffer);
  yield* settle(file.read(tables.refcountTableOffset + block * ENTRY_LENGTH, bytes));
  const place = entryOffset(view.getUint32(0), view.getUint32(4));
  if (place % clusterSize !== 0) return undefined;
  if (place === 0 || place >= image.fileLength) return 0;
  // Eight bytes hold at least one whole count of any width, and begin with one.
  const index = cluster - block * values.perBlock;
  const perEntry = values.perBlock / (clusterSize / ENTRY_LENGTH);
  yield* settle(file.read(place + Math.floor(index / perEntry) * ENTRY_LENGTH, bytes));
  return values.get(view, index % perEntry);
}

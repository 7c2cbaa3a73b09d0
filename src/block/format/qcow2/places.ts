/**
 * Where an image's own structures are in its file: nothing else may be written there. Damaged or hostile tables lead guest data
 * onto metadata; looking before the write keeps one error from becoming many.
 *
 * Source: QEMU, BlockdevOptionsQcow2, "overlap-check".
 */

/** `none`, `constant` (header, L1 and refcount structures), `cached` and `all` (also the L2 tables and the bitmap directory). */
export type OverlapCheck = 'none' | 'constant' | 'cached' | 'all';

interface Region {
  readonly offset: number;
  readonly length: number;
}

export class MetadataPlaces {
  readonly #clusterSize: number;
  readonly #level: OverlapCheck;
  readonly #regions = new Map<string, Region>();
  readonly #refcountBlocks = new SortedOffsets();
  readonly #l2Tables = new SortedOffsets();

  constructor(clusterSize: number, level: OverlapCheck) {
    this.#clusterSize = clusterSize;
    this.#level = level;
  }

  /** Says where a structure is that there is one of. It may have been elsewhere before. */
  setRegion(name: string, offset: number, length: number): void {
    this.#regions.set(name, { offset, length });
  }

  setRefcountBlocks(offsets: Iterable<number>): void {
    this.#refcountBlocks.replace(offsets);
  }

  setL2Tables(offsets: Iterable<number>): void {
    if (this.#checksTables) this.#l2Tables.replace(offsets);
  }

  addRefcountBlock(offset: number): void {
    this.#refcountBlocks.add(offset);
  }

  addL2Table(offset: number): void {
    if (this.#checksTables) this.#l2Tables.add(offset);
  }

  removeL2Table(offset: number): void {
    this.#l2Tables.remove(offset);
  }

  get #checksTables(): boolean {
    return this.#level === 'cached' || this.#level === 'all';
  }

  /**
   * @param offset cluster-aligned, in the file
   * @param writesL2 it is an L2 table that is to be written, so finding one there is no surprise
   * @returns the name of the structure that lies in the range, or undefined
   */
  overlap(offset: number, length: number, writesL2 = false): string | undefined {
    if (this.#level === 'none') return undefined;
    const end = offset + length;
    for (const [name, region] of this.#regions) {
      if (region.offset < end && offset < region.offset + region.length) return name;
    }
    const from = offset - this.#clusterSize + 1;
    if (this.#refcountBlocks.anyIn(from, end)) return 'a refcount block';
    if (!writesL2 && this.#l2Tables.anyIn(from, end)) return 'an active L2 table';
    return undefined;
  }
}

class SortedOffsets {
  #offsets: number[] = [];

  replace(offsets: Iterable<number>): void {
    this.#offsets = [...offsets].toSorted((a, b) => a - b);
  }

  add(offset: number): void {
    this.#offsets.splice(this.#firstFrom(offset), 0, offset);
  }

  remove(offset: number): void {
    const index = this.#firstFrom(offset);
    if (this.#offsets[index] === offset) this.#offsets.splice(index, 1);
  }

  /** Whether there is one in `from <= offset < end`. */
  anyIn(from: number, end: number): boolean {
    const offset = this.#offsets[this.#firstFrom(from)];
    return offset !== undefined && offset < end;
  }

  #firstFrom(offset: number): number {
    let low = 0;
    let high = this.#offsets.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.#offsets[middle]! < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

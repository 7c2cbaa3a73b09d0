/**
 * Where an image's own structures are in its file: nothing else may be written there. Damaged or hostile tables lead guest data
 * onto metadata; looking before the write keeps one error from becoming many.
 *
 * Source: QEMU, BlockdevOptionsQcow2, "overlap-check".
 */
import { ENTRY_LENGTH } from './layout.ts';

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
  /** In order, and apart from one another. */
  #inactiveL1Tables: readonly Region[] = [];

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

  setInactiveL1Tables(tables: readonly { readonly l1Offset: number; readonly l1Entries: number }[]): void {
    if (!this.#checksTables) return;
    const regions = tables.map(({ l1Offset, l1Entries }) => ({ offset: l1Offset, length: l1Entries * ENTRY_LENGTH }));
    this.#inactiveL1Tables = mergeRegions(regions);
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
    if (anyRegionIn(this.#inactiveL1Tables, offset, end)) return 'an inactive L1 table';
    if (!writesL2 && this.#l2Tables.anyIn(from, end)) return 'an active L2 table';
    return undefined;
  }
}

/** Sorts regions, and makes one of those that touch or overlap. */
function mergeRegions(regions: readonly Region[]): readonly Region[] {
  const merged: Region[] = [];
  for (const region of regions.toSorted((a, b) => a.offset - b.offset)) {
    const last = merged.at(-1);
    if (last === undefined || region.offset > last.offset + last.length) merged.push(region);
    else {
      const end = Math.max(last.offset + last.length, region.offset + region.length);
      merged[merged.length - 1] = { offset: last.offset, length: end - last.offset };
    }
  }
  return merged;
}

/** Whether one of some merged regions reaches into `from <= offset < end`. */
function anyRegionIn(regions: readonly Region[], from: number, end: number): boolean {
  let low = 0;
  let high = regions.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (regions[middle]!.offset < end) low = middle + 1;
    else high = middle;
  }
  const last = regions[low - 1];
  return last !== undefined && last.offset + last.length > from;
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

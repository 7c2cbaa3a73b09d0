/**
 * Where an image's own structures are in its file: nothing else may be written there. Damaged or hostile tables lead guest data
 * onto metadata; looking before the write keeps one error from becoming many.
 *
 * Source: QEMU, BlockdevOptionsQcow2, "overlap-check".
 */
import { ENTRY_LENGTH } from './layout.ts';

/** The structures that can be looked out for, with the names that QEMU's options have for them, and those of its messages. */
const STRUCTURES = {
  'main-header': 'qcow2_header',
  'active-l1': 'active L1 table',
  'active-l2': 'active L2 table',
  'refcount-table': 'refcount table',
  'refcount-block': 'refcount block',
  'snapshot-table': 'snapshot table',
  'inactive-l1': 'inactive L1 table',
  'inactive-l2': 'inactive L2 table',
  'bitmap-directory': 'bitmap directory',
} as const;

export type Structure = keyof typeof STRUCTURES;

export const structures = Object.keys(STRUCTURES) as readonly Structure[];

/** Those that there is one of, in one piece. */
type Region = Extract<
  Structure,
  'main-header' | 'active-l1' | 'refcount-table' | 'snapshot-table' | 'bitmap-directory'
>;

const CONSTANT = ['main-header', 'active-l1', 'refcount-table', 'snapshot-table', 'bitmap-directory'] as const;
const CACHED = [...CONSTANT, 'active-l2', 'refcount-block', 'inactive-l1'] as const;

/**
 * QEMU's templates: what is looked out for costs nothing (`constant`), no I/O (`cached`), or reading the snapshots' L1 tables
 * (`all`).
 */
export const overlapTemplates = {
  none: [],
  constant: CONSTANT,
  cached: CACHED,
  all: structures,
} as const satisfies Readonly<Record<string, readonly Structure[]>>;

interface Bytes {
  readonly offset: number;
  readonly length: number;
}

export class MetadataPlaces {
  readonly #clusterSize: number;
  readonly #checked: ReadonlySet<Structure>;
  readonly #regions = new Map<Region, Bytes>();
  readonly #refcountBlocks = new SortedOffsets();
  readonly #activeL2Tables = new SortedOffsets();
  /** In order, and apart from one another. */
  #inactiveL1Tables: readonly Bytes[] = [];
  /** Undefined: the L1 tables of the snapshots must be read to know. */
  #inactiveL2Tables: SortedOffsets | undefined;

  /** @param checked what `overlap` looks out for */
  constructor(clusterSize: number, checked: ReadonlySet<Structure>) {
    this.#clusterSize = clusterSize;
    this.#checked = checked;
  }

  /** Says where a structure is that there is one of. It may have been elsewhere before, or nowhere. */
  setRegion(name: Region, offset: number, length: number): void {
    if (this.#checked.has(name)) this.#regions.set(name, { offset, length });
  }

  setRefcountBlocks(offsets: Iterable<number>): void {
    if (this.#checked.has('refcount-block')) this.#refcountBlocks.replace(offsets);
  }

  setL2Tables(offsets: Iterable<number>): void {
    if (this.#checked.has('active-l2')) this.#activeL2Tables.replace(offsets);
  }

  /** The snapshots are others now: `setInactiveL2Tables` follows before the next look, if `lacksInactiveL2` says so. */
  setInactiveL1Tables(tables: readonly { readonly l1Offset: number; readonly l1Entries: number }[]): void {
    this.#inactiveL2Tables = tables.length === 0 ? new SortedOffsets() : undefined;
    if (!this.#checked.has('inactive-l1')) return;
    const regions = tables.map(({ l1Offset, l1Entries }) => ({ offset: l1Offset, length: l1Entries * ENTRY_LENGTH }));
    this.#inactiveL1Tables = mergeRegions(regions);
  }

  /** The L2 tables of snapshots are to be looked out for, and not known. */
  get lacksInactiveL2(): boolean {
    return this.#inactiveL2Tables === undefined && this.#checked.has('inactive-l2');
  }

  setInactiveL2Tables(offsets: Iterable<number>): void {
    this.#inactiveL2Tables = new SortedOffsets();
    this.#inactiveL2Tables.replace(offsets);
  }

  addRefcountBlock(offset: number): void {
    if (this.#checked.has('refcount-block')) this.#refcountBlocks.add(offset);
  }

  addL2Table(offset: number): void {
    if (this.#checked.has('active-l2')) this.#activeL2Tables.add(offset);
  }

  removeL2Table(offset: number): void {
    this.#activeL2Tables.remove(offset);
  }

  /**
   * @param offset cluster-aligned, in the file
   * @param writesL2 it is an L2 table that is to be written, so finding one there is no surprise
   * @returns QEMU's name of the structure that lies in the range, or undefined
   */
  overlap(offset: number, length: number, writesL2 = false): string | undefined {
    const structure = this.#structureIn(offset, offset + length, writesL2);
    return structure === undefined ? undefined : STRUCTURES[structure];
  }

  #structureIn(offset: number, end: number, writesL2: boolean): Structure | undefined {
    for (const [name, region] of this.#regions) {
      if (region.offset < end && offset < region.offset + region.length) return name;
    }
    const from = offset - this.#clusterSize + 1;
    if (this.#refcountBlocks.anyIn(from, end)) return 'refcount-block';
    if (anyRegionIn(this.#inactiveL1Tables, offset, end)) return 'inactive-l1';
    if (!writesL2 && this.#activeL2Tables.anyIn(from, end)) return 'active-l2';
    return this.#inactiveL2Tables?.anyIn(from, end) === true ? 'inactive-l2' : undefined;
  }
}

/** Sorts regions, and makes one of those that touch or overlap. */
function mergeRegions(regions: readonly Bytes[]): readonly Bytes[] {
  const merged: Bytes[] = [];
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
function anyRegionIn(regions: readonly Bytes[], from: number, end: number): boolean {
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

/**
 * The allocation map as numbers: extents are kept compactly (a million of them take ten megabytes), and added up into as many
 * cells as the picture has.
 */

/** What a stretch of a disk is. From `DATA` on: data that was found so many layers down. */
export const UNALLOCATED = 0;
export const ZERO = 1;
export const DATA = 2;
/** Layers from this depth on share a colour. */
export const DEEPEST = 3;
export const CLASSES = DATA + DEEPEST + 1;

/** What the map shows of a block status. */
export interface MapExtent {
  readonly offset: number;
  readonly length: number;
  readonly depth: number;
  readonly present: boolean;
  readonly data: boolean;
  readonly zero: boolean;
  readonly compressed?: boolean;
}

export interface FoundExtent {
  readonly offset: number;
  readonly length: number;
  readonly kind: number;
  /** How many layers down. */
  readonly depth: number;
  readonly compressed: boolean;
}

/** Grows in place, so that a map that is still being read can be drawn. */
export class MapModel {
  readonly size: number;
  #starts = new Float64Array(1024);
  #kinds = new Uint8Array(1024);
  #depths = new Uint16Array(1024);
  #count = 0;
  #end = 0;
  /** Bytes of each class. */
  readonly totals = new Float64Array(CLASSES);
  compressedBytes = 0;

  /** @param size of the disk, in bytes */
  constructor(size: number) {
    this.size = size;
  }

  /** Where what is known ends, in bytes. */
  get end(): number {
    return this.#end;
  }

  /** How many stretches are kept: neighbours that are alike are one. */
  get count(): number {
    return this.#count;
  }

  /** Adds an extent behind the last one. */
  add(extent: MapExtent): void {
    const kind = classOf(extent);
    const compressed = extent.compressed === true ? 128 : 0;
    this.totals[kind]! += extent.length;
    if (compressed !== 0) this.compressedBytes += extent.length;
    this.#append(extent.offset, kind | compressed, kind === UNALLOCATED ? 0 : extent.depth);
    this.#end = extent.offset + extent.length;
  }

  /** The stretch that a byte lies in; undefined where nothing is known yet. */
  at(offset: number): FoundExtent | undefined {
    if (this.#count === 0 || offset < 0 || offset >= this.#end) return undefined;
    return this.#extent(this.#indexOf(offset));
  }

  /**
   * Adds the extents up into cells of equal size.
   *
   * @param cells how many
   * @returns bytes by cell and class: `result[cell * CLASSES + class]`
   */
  cells(cells: number): Float64Array<ArrayBuffer> {
    const sums = new Float64Array(cells * CLASSES);
    const cellBytes = this.size / cells;
    for (let index = 0; index < this.#count; index++) {
      const start = this.#starts[index]!;
      const end = this.#endOf(index);
      const kind = this.#kinds[index]! & 127;
      const last = Math.min(cells - 1, Math.ceil(end / cellBytes) - 1);
      for (let cell = Math.floor(start / cellBytes); cell <= last; cell++) {
        const from = Math.max(start, cell * cellBytes);
        const to = Math.min(end, (cell + 1) * cellBytes);
        sums[cell * CLASSES + kind]! += Math.max(0, to - from);
      }
    }
    return sums;
  }

  #append(offset: number, kind: number, depth: number): void {
    const last = this.#count - 1;
    if (last >= 0 && this.#kinds[last] === kind && this.#depths[last] === depth) return;
    if (this.#count === this.#starts.length) this.#grow();
    this.#starts[this.#count] = offset;
    this.#kinds[this.#count] = kind;
    this.#depths[this.#count] = Math.min(depth, 65_535);
    this.#count++;
  }

  #grow(): void {
    const capacity = this.#starts.length * 2;
    this.#starts = copyInto(new Float64Array(capacity), this.#starts);
    this.#kinds = copyInto(new Uint8Array(capacity), this.#kinds);
    this.#depths = copyInto(new Uint16Array(capacity), this.#depths);
  }

  #endOf(index: number): number {
    return index + 1 < this.#count ? this.#starts[index + 1]! : this.#end;
  }

  #indexOf(offset: number): number {
    let low = 0;
    let high = this.#count - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#starts[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #extent(index: number): FoundExtent {
    const offset = this.#starts[index]!;
    const kind = this.#kinds[index]!;
    return {
      offset,
      length: this.#endOf(index) - offset,
      kind: kind & 127,
      depth: this.#depths[index]!,
      compressed: kind > 127,
    };
  }
}

function classOf(extent: MapExtent): number {
  if (!extent.present) return UNALLOCATED;
  if (extent.zero) return ZERO;
  return DATA + Math.min(extent.depth, DEEPEST);
}

function copyInto<Numbers extends { set(from: Numbers): void }>(to: Numbers, from: Numbers): Numbers {
  to.set(from);
  return to;
}

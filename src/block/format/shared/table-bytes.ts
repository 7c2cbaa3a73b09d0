/**
 * A table that is held in memory whole, with the sectors that wait to be written. A sector is written at once or not at all, so an
 * entry is never half written.
 */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import type { BlockEvent } from '../../events.ts';
import { SECTOR_SIZE } from '../../limits.ts';

export class TableBytes {
  /** Bytes in the file; a multiple of a sector. */
  readonly offset: number;
  protected readonly view: DataView<ArrayBuffer>;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #dirtySectors = new Set<number>();

  /** @param bytes the whole table, as it is in the file at `offset` */
  constructor(offset: number, bytes: Uint8Array<ArrayBuffer>) {
    this.offset = offset;
    this.#bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.#bytes.length;
  }

  get dirty(): boolean {
    return this.#dirtySectors.size > 0;
  }

  /** To be called after a change of the view, with the place of the change in the table. */
  protected changed(position: number): void {
    this.#dirtySectors.add(Math.floor(position / SECTOR_SIZE));
  }

  /** A copy of the table as it is now, followed by zeroes. */
  grown(length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    bytes.set(this.#bytes);
    return bytes;
  }

  /** Writes the changed sectors, adjacent ones together. They stay dirty until `keepWritten`. */
  *writeDirty(file: BlockChild, event?: BlockEvent): Co<void> {
    const sectors = [...this.#dirtySectors].toSorted((a, b) => a - b);
    for (let first = 0; first < sectors.length;) {
      let end = first + 1;
      while (end < sectors.length && sectors[end] === sectors[end - 1]! + 1) end++;
      const from = sectors[first]! * SECTOR_SIZE;
      const to = Math.min((sectors[end - 1]! + 1) * SECTOR_SIZE, this.#bytes.length);
      if (event !== undefined) file.event(event);
      yield* settle(file.write(this.offset + from, this.#bytes.subarray(from, to)));
      first = end;
    }
  }

  /** What `writeDirty` wrote is on stable storage. Nothing has changed since. */
  keepWritten(): void {
    this.#dirtySectors.clear();
  }
}

/** Byte order and width of a table's entries. */
export interface EntryShape {
  readonly bytes: 4 | 8;
  readonly littleEndian: boolean;
}

/** A table of unsigned numbers: a block allocation table. Entries of 64 bits must be below 2^53 where they are asked for. */
export class NumberTable extends TableBytes {
  readonly #shape: EntryShape;

  constructor(offset: number, bytes: Uint8Array<ArrayBuffer>, shape: EntryShape) {
    super(offset, bytes);
    this.#shape = shape;
  }

  get entries(): number {
    return Math.floor(this.length / this.#shape.bytes);
  }

  get(index: number): number {
    const { bytes, littleEndian } = this.#shape;
    const at = index * bytes;
    if (bytes === 4) return this.view.getUint32(at, littleEndian);
    const [high, low] = littleEndian ? [at + 4, at] : [at, at + 4];
    return this.view.getUint32(high, littleEndian) * 2 ** 32 + this.view.getUint32(low, littleEndian);
  }

  set(index: number, value: number): void {
    const { bytes, littleEndian } = this.#shape;
    const at = index * bytes;
    if (bytes === 4) {
      this.view.setUint32(at, value, littleEndian);
    } else {
      const [high, low] = littleEndian ? [at + 4, at] : [at, at + 4];
      this.view.setUint32(high, Math.floor(value / 2 ** 32), littleEndian);
      this.view.setUint32(low, value % 2 ** 32, littleEndian);
    }
    this.changed(at);
  }
}

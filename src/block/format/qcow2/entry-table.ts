/**
 * A table of 64-bit entries that is held in memory whole, the L1 table or the refcount table, with the sectors that wait to be
 * written. A sector is written at once or not at all, so an entry is never half written.
 */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import type { BlockEvent } from '../../events.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { ENTRY_LENGTH } from './layout.ts';

export class EntryTable {
  /** Bytes in the file. */
  readonly offset: number;
  readonly entries: number;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView<ArrayBuffer>;
  readonly #dirtySectors = new Set<number>();

  /** @param bytes the whole table, as it is in the file at `offset` */
  constructor(offset: number, bytes: Uint8Array<ArrayBuffer>) {
    this.offset = offset;
    this.entries = Math.floor(bytes.length / ENTRY_LENGTH);
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.#bytes.length;
  }

  get dirty(): boolean {
    return this.#dirtySectors.size > 0;
  }

  /** Bits 63 to 32 of an entry. */
  high(index: number): number {
    return this.#view.getUint32(index * ENTRY_LENGTH);
  }

  low(index: number): number {
    return this.#view.getUint32(index * ENTRY_LENGTH + 4);
  }

  set(index: number, high: number, low: number): void {
    this.#view.setUint32(index * ENTRY_LENGTH, high);
    this.#view.setUint32(index * ENTRY_LENGTH + 4, low);
    this.#dirtySectors.add(Math.floor((index * ENTRY_LENGTH) / SECTOR_SIZE));
  }

  /** A copy of the entries as they are now, followed by zeroes. */
  grown(length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    bytes.set(this.#bytes);
    return bytes;
  }

  /** Writes the changed sectors, adjacent ones together. They stay dirty until `keepWritten`. */
  *writeDirty(file: BlockChild, event: BlockEvent): Co<void> {
    const sectors = [...this.#dirtySectors].toSorted((a, b) => a - b);
    for (let first = 0; first < sectors.length;) {
      let end = first + 1;
      while (end < sectors.length && sectors[end] === sectors[end - 1]! + 1) end++;
      const from = sectors[first]! * SECTOR_SIZE;
      const to = Math.min((sectors[end - 1]! + 1) * SECTOR_SIZE, this.#bytes.length);
      file.event(event);
      yield* settle(file.write(this.offset + from, this.#bytes.subarray(from, to)));
      first = end;
    }
  }

  /** What `writeDirty` wrote is on stable storage. Nothing has changed since. */
  keepWritten(): void {
    this.#dirtySectors.clear();
  }
}

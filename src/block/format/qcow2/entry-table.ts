import { TableBytes } from '../shared/table-bytes.ts';
import { ENTRY_LENGTH } from './layout.ts';

/** A table of 64-bit entries that is held in memory whole: the L1 table, or the refcount table. */
export class EntryTable extends TableBytes {
  get entries(): number {
    return Math.floor(this.length / ENTRY_LENGTH);
  }

  /** Bits 63 to 32 of an entry. */
  high(index: number): number {
    return this.view.getUint32(index * ENTRY_LENGTH);
  }

  low(index: number): number {
    return this.view.getUint32(index * ENTRY_LENGTH + 4);
  }

  set(index: number, high: number, low: number): void {
    this.view.setUint32(index * ENTRY_LENGTH, high);
    this.view.setUint32(index * ENTRY_LENGTH + 4, low);
    this.changed(index * ENTRY_LENGTH);
  }
}

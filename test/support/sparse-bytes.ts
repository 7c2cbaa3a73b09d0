/** A growable array of bytes that stores only pages with something in them. A copy shares pages until one side writes. */
import { isZero } from './random.ts';

const PAGE_BYTES = 4096;

export class SparseBytes {
  #pages = new Map<number, Uint8Array>();
  /** Pages that no copy shares: these may be written in place. */
  #own = new Set<number>();
  #length = 0;
  /** What another file of the same image holds: its external data file. */
  beside: SparseBytes | undefined;

  static from(bytes: Uint8Array): SparseBytes {
    const sparse = new SparseBytes();
    for (let start = 0; start < bytes.length; start += PAGE_BYTES) {
      const page = bytes.subarray(start, start + PAGE_BYTES);
      if (!isZero(page)) sparse.write(start, page);
    }
    sparse.truncate(bytes.length);
    return sparse;
  }

  get length(): number {
    return this.#length;
  }

  /** Cheap: no byte is copied before one of the two is written. */
  copy(): SparseBytes {
    const copy = new SparseBytes();
    copy.#pages = new Map(this.#pages);
    copy.#length = this.#length;
    copy.beside = this.beside?.copy();
    this.#own.clear();
    return copy;
  }

  /** Fills the buffer; past the end there are zeroes. */
  read(offset: number, buffer: Uint8Array): void {
    eachPage(offset, buffer.length, (page, inPage, start, length) => {
      const bytes = this.#pages.get(page);
      if (bytes === undefined) buffer.fill(0, start, start + length);
      else buffer.set(bytes.subarray(inPage, inPage + length), start);
    });
  }

  write(offset: number, data: Uint8Array): void {
    eachPage(offset, data.length, (page, inPage, start, length) => {
      this.#writable(page).set(data.subarray(start, start + length), inPage);
    });
    this.#length = Math.max(this.#length, offset + data.length);
  }

  /** Makes zeroes; grows like a write. */
  zero(offset: number, length: number): void {
    eachPage(offset, length, (page, inPage, _start, count) => {
      if (count === PAGE_BYTES) this.#drop(page);
      else if (this.#pages.has(page)) this.#writable(page).fill(0, inPage, inPage + count);
    });
    this.#length = Math.max(this.#length, offset + length);
  }

  truncate(length: number): void {
    if (length < this.#length) {
      const keep = Math.ceil(length / PAGE_BYTES);
      for (const page of this.#pages.keys()) if (page >= keep) this.#drop(page);
      const tail = length % PAGE_BYTES;
      if (tail > 0 && this.#pages.has(keep - 1)) this.#writable(keep - 1).fill(0, tail);
    }
    this.#length = length;
  }

  toBytes(): Uint8Array {
    const bytes = new Uint8Array(this.#length);
    this.read(0, bytes);
    return bytes;
  }

  /** Bytes of pages that are stored. */
  get storedBytes(): number {
    return this.#pages.size * PAGE_BYTES;
  }

  /** Start offsets of the stored pages, in no particular order. */
  *storedPages(): Generator<{ offset: number; bytes: Uint8Array }> {
    for (const [page, bytes] of this.#pages) yield { offset: page * PAGE_BYTES, bytes };
  }

  #drop(page: number): void {
    this.#pages.delete(page);
    this.#own.delete(page);
  }

  #writable(page: number): Uint8Array {
    const known = this.#pages.get(page);
    if (known !== undefined && this.#own.has(page)) return known;
    const bytes = known === undefined ? new Uint8Array(PAGE_BYTES) : known.slice();
    this.#pages.set(page, bytes);
    this.#own.add(page);
    return bytes;
  }
}

function eachPage(
  offset: number,
  length: number,
  visit: (page: number, inPage: number, start: number, length: number) => void,
): void {
  let done = 0;
  while (done < length) {
    const page = Math.floor((offset + done) / PAGE_BYTES);
    const inPage = offset + done - page * PAGE_BYTES;
    const count = Math.min(PAGE_BYTES - inPage, length - done);
    visit(page, inPage, done, count);
    done += count;
  }
}

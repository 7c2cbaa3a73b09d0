/**
 * A cache of equal pieces ("slices") of tables that lie in a file: of L2 tables, and of refcount blocks.
 *
 * Looking up a slice is on the path of every read, so it works on typed arrays alone: a hash with chains, and the clock
 * algorithm (a bit per slice that a hit sets and the search for a victim clears) in place of a list of recent use. Only clean
 * slices are given up. What is dirty stays until it was written and a flush has made that stable; the owner sees to it that
 * not all are dirty.
 *
 * A slot number is good until the next wait. Dirty slices change, and are written, under the image's metadata lock only.
 */
import { isPromise, withTasks, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import type { BlockEvent } from '../../events.ts';
import { REQUEST_PARALLELISM } from '../../limits.ts';

const FREE = 0;
const CLEAN = 1;
const DIRTY = 2;
/** Being read: belongs to no key yet. */
const LOADING = 3;

/** Memory is taken in pieces of this size, as slots come into use. */
const CHUNK_BYTES = 64 * 1024;

/** Adjacent slices are written together up to this size. */
const JOINED_WRITE_BYTES = 256 * 1024;

export interface SliceCacheSettings {
  readonly file: BlockChild;
  /** Bytes, a power of two. */
  readonly sliceBytes: number;
  /** Slices. */
  readonly capacity: number;
  /** Where in the file a slice is, in bytes; 0: it does not exist. */
  readonly locate: (key: number) => number;
  /** Where a second copy of a slice is, kept equal; 0: there is none. Default: none of any slice. */
  readonly mirror?: (key: number) => number;
  /** QEMU's names of the points at which a slice is read and written. */
  readonly loadEvent: BlockEvent;
  readonly updateEvent: BlockEvent;
}

export class SliceCache {
  readonly sliceBytes: number;
  readonly capacity: number;
  readonly #settings: SliceCacheSettings;
  readonly #heads: Int32Array;
  readonly #next: Int32Array;
  readonly #keys: Float64Array;
  readonly #states: Uint8Array;
  readonly #referenced: Uint8Array;
  readonly #marks: Uint8Array;
  readonly #hashMask: number;
  readonly #slotsPerChunk: number;
  readonly #chunks: DataView<ArrayBuffer>[] = [];
  /** Reads in flight: several that miss the same slice wait for one read. */
  readonly #loading = new Map<number, Promise<void>>();
  #dirtySlots: number[] = [];
  /** Slots that have ever been used. */
  #used = 0;
  #hand = 0;
  /** Counts how often the cache was emptied: what was read before does not belong into it. */
  #epoch = 0;

  constructor(settings: SliceCacheSettings) {
    const { sliceBytes, capacity } = settings;
    this.#settings = settings;
    this.sliceBytes = sliceBytes;
    this.capacity = capacity;
    const buckets = 2 ** Math.ceil(Math.log2(capacity));
    this.#hashMask = buckets - 1;
    this.#heads = new Int32Array(buckets).fill(-1);
    this.#next = new Int32Array(capacity);
    this.#keys = new Float64Array(capacity);
    this.#states = new Uint8Array(capacity);
    this.#referenced = new Uint8Array(capacity);
    this.#marks = new Uint8Array(capacity);
    this.#slotsPerChunk = Math.max(1, CHUNK_BYTES / sliceBytes);
  }

  get dirtyCount(): number {
    return this.#dirtySlots.length;
  }

  /** Bytes of table contents that are held in memory. */
  get memoryBytes(): number {
    return this.#chunks.length * this.#slotsPerChunk * this.sliceBytes;
  }

  /** @returns the slot of a slice, or -1 when it is not in the cache */
  lookup(key: number): number {
    let slot = this.#heads[key & this.#hashMask]!;
    while (slot >= 0 && this.#keys[slot] !== key) slot = this.#next[slot]!;
    if (slot >= 0) this.#referenced[slot] = 1;
    return slot;
  }

  /** The memory that holds a slot's bytes, from `start(slot)` on. */
  view(slot: number): DataView<ArrayBuffer> {
    return this.#chunks[Math.floor(slot / this.#slotsPerChunk)]!;
  }

  /** Where in `view(slot)` the slice begins. */
  start(slot: number): number {
    return (slot % this.#slotsPerChunk) * this.sliceBytes;
  }

  bytes(slot: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.view(slot).buffer, this.start(slot), this.sliceBytes);
  }

  /** A note that the owner keeps with a slice while it is in the cache. */
  marked(slot: number): boolean {
    return this.#marks[slot] === 1;
  }

  mark(slot: number): void {
    this.#marks[slot] = 1;
  }

  /** Takes the note from a slice, if it is in the cache. */
  unmark(key: number): void {
    const slot = this.lookup(key);
    if (slot >= 0) this.#marks[slot] = 0;
  }

  isDirty(slot: number): boolean {
    return this.#states[slot] === DIRTY;
  }

  markDirty(slot: number): void {
    if (this.#states[slot] === DIRTY) return;
    this.#states[slot] = DIRTY;
    this.#dirtySlots.push(slot);
  }

  /** @returns the slot of a slice, read if need be, or -1 when there is no such slice in the file */
  *load(key: number): Co<number> {
    for (;;) {
      const slot = this.lookup(key);
      if (slot >= 0) return slot;
      const place = this.#settings.locate(key);
      if (place === 0) return -1;
      const reading = this.#loading.get(key);
      if (reading !== undefined) yield reading;
      else yield* this.#read(key, place);
    }
  }

  *#read(key: number, place: number): Co<void> {
    const slot = this.#takeSlot();
    if (slot < 0) {
      yield this.#anyLoading();
      return;
    }
    const epoch = this.#epoch;
    let wanted = false;
    try {
      this.#settings.file.event(this.#settings.loadEvent);
      const reading = this.#settings.file.read(place, this.bytes(slot));
      if (isPromise(reading)) yield* this.#await(key, reading);
      // The table may have been moved or dropped meanwhile: then the bytes are stale and are not kept.
      wanted = epoch === this.#epoch && this.#settings.locate(key) === place;
    } finally {
      if (wanted) this.#insert(slot, key);
      else this.#states[slot] = FREE;
    }
  }

  *#await(key: number, reading: Promise<void>): Co<void> {
    // Who waits along with this read tries again for itself, so it is not told whether this one failed.
    this.#loading.set(
      key,
      reading.then(
        () => undefined,
        () => undefined,
      ),
    );
    try {
      yield reading;
    } finally {
      this.#loading.delete(key);
    }
  }

  #anyLoading(): Promise<void> {
    for (const reading of this.#loading.values()) return reading;
    throw new BlockError('internal', 'A metadata cache is full of slices that wait to be written');
  }

  #insert(slot: number, key: number): void {
    const bucket = key & this.#hashMask;
    this.#keys[slot] = key;
    this.#next[slot] = this.#heads[bucket]!;
    this.#heads[bucket] = slot;
    this.#states[slot] = CLEAN;
    this.#referenced[slot] = 1;
    this.#marks[slot] = 0;
  }

  /** @returns a slot to read into, or -1 when all are dirty or being read */
  #takeSlot(): number {
    const slot = this.#used < this.capacity ? this.#newSlot() : this.#victim();
    if (slot >= 0) this.#states[slot] = LOADING;
    return slot;
  }

  #newSlot(): number {
    const slot = this.#used++;
    if (Math.floor(slot / this.#slotsPerChunk) === this.#chunks.length) {
      this.#chunks.push(new DataView(new ArrayBuffer(this.#slotsPerChunk * this.sliceBytes)));
    }
    return slot;
  }

  #victim(): number {
    // The first round may find all of them referenced, and clears that.
    for (let step = 0; step < 2 * this.capacity; step++) {
      const slot = this.#hand;
      this.#hand = slot + 1 === this.capacity ? 0 : slot + 1;
      if (this.#states[slot] === FREE) return slot;
      if (this.#states[slot] !== CLEAN) continue;
      if (this.#referenced[slot] === 0) {
        this.#unlink(slot);
        return slot;
      }
      this.#referenced[slot] = 0;
    }
    return -1;
  }

  #unlink(slot: number): void {
    const bucket = this.#keys[slot]! & this.#hashMask;
    let before = -1;
    let at = this.#heads[bucket]!;
    while (at !== slot) {
      before = at;
      at = this.#next[at]!;
    }
    if (before < 0) this.#heads[bucket] = this.#next[slot]!;
    else this.#next[before] = this.#next[slot]!;
  }

  /** Forgets a slice, changes and all: its table is gone. */
  drop(key: number): void {
    const slot = this.lookup(key);
    if (slot < 0) return;
    if (this.isDirty(slot)) this.#dirtySlots = this.#dirtySlots.filter((dirty) => dirty !== slot);
    this.#unlink(slot);
    this.#states[slot] = FREE;
  }

  /** Forgets everything: the file was changed by someone else. Nothing may be dirty. */
  clear(): void {
    this.#epoch++;
    this.#heads.fill(-1);
    for (let slot = 0; slot < this.#used; slot++) if (this.#states[slot] !== LOADING) this.#states[slot] = FREE;
    this.#dirtySlots = [];
  }

  /**
   * Writes what is dirty. It stays dirty until `keepWritten` says that a flush has made the writes stable.
   *
   * @throws BlockError what the storage throws; everything is still dirty then
   */
  *writeDirty(): Co<void> {
    if (this.#dirtySlots.length === 0) return;
    const { locate, mirror } = this.#settings;
    if (mirror !== undefined) yield* this.#writeTo(mirror);
    yield* this.#writeTo(locate);
  }

  *#writeTo(locate: (key: number) => number): Co<void> {
    const { file, updateEvent } = this.#settings;
    const slots = this.#placedSlots(locate);
    const joined = Math.max(1, Math.floor(JOINED_WRITE_BYTES / this.sliceBytes));
    const write = (first: number, count: number) => {
      file.event(updateEvent);
      return file.write(slots[first]!.place, this.#join(slots, first, count));
    };
    yield* withTasks(REQUEST_PARALLELISM, (tasks) =>
      this.#writeRuns(slots, joined, (first, count) => tasks.issue(() => write(first, count))),
    );
  }

  *#writeRuns(
    slots: readonly { readonly place: number }[],
    longest: number,
    issue: (first: number, count: number) => Co<void>,
  ): Co<void> {
    let first = 0;
    for (let next = 1; next <= slots.length; next++) {
      const adjacent = next < slots.length && slots[next]!.place === slots[next - 1]!.place + this.sliceBytes;
      if (adjacent && next - first < longest) continue;
      yield* issue(first, next - first);
      first = next;
    }
  }

  #join(slots: readonly { readonly slot: number }[], first: number, count: number): Uint8Array {
    if (count === 1) return this.bytes(slots[first]!.slot);
    const bytes = new Uint8Array(count * this.sliceBytes);
    for (let index = 0; index < count; index++)
      bytes.set(this.bytes(slots[first + index]!.slot), index * this.sliceBytes);
    return bytes;
  }

  /** What waits to be written, for an owner that does not let the cache write it, in the order of its places. Nothing is copied. */
  dirtySlices(): { readonly place: number; readonly bytes: Uint8Array<ArrayBuffer> }[] {
    return this.#placedSlots(this.#settings.locate).map(({ slot, place }) => ({ place, bytes: this.bytes(slot) }));
  }

  #placedSlots(locate: (key: number) => number): { readonly slot: number; readonly place: number }[] {
    return this.#dirtySlots
      .map((slot) => ({ slot, place: locate(this.#keys[slot]!) }))
      .filter(({ place }) => place > 0)
      .toSorted((a, b) => a.place - b.place);
  }

  /** What `writeDirty` wrote is on stable storage. Nothing has changed since. */
  keepWritten(): void {
    for (const slot of this.#dirtySlots) this.#states[slot] = CLEAN;
    this.#dirtySlots = [];
  }
}

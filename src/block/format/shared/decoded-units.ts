/**
 * The last decompressed units (clusters, grains) of an image. A unit is decompressed whole, and most reads ask for a part, and then
 * for the next.
 */
import { isPromise, start, type Co, type MaybePromise } from '../../co.ts';

/** Bytes that an image keeps, and how many units at least and at most. */
const KEPT_BYTES = 1024 * 1024;
const MIN_KEPT = 2;
const MAX_KEPT = 16;

export class DecodedUnits {
  readonly #unitBytes: number;
  readonly #capacity: number;
  /** By where their bytes begin in the file, the one that was used last at the end. */
  readonly #kept = new Map<number, Uint8Array>();
  /** Being decompressed: whoever wants the same unit waits for it too. */
  readonly #pending = new Map<number, Promise<Uint8Array>>();
  /** How often something was forgotten: what was begun before that is not kept. */
  #changes = 0;

  /** @param unitBytes of a decompressed unit. @param atLeast units that are kept, however large they are */
  constructor(unitBytes: number, atLeast = MIN_KEPT) {
    this.#unitBytes = unitBytes;
    this.#capacity = Math.min(MAX_KEPT, Math.max(atLeast, Math.floor(KEPT_BYTES / unitBytes)));
  }

  /** Other bytes are in the file now, at places where compressed units were. */
  forget(): void {
    this.#changes++;
    this.#kept.clear();
    this.#pending.clear();
  }

  find(hostOffset: number): Uint8Array | undefined {
    const bytes = this.#kept.get(hostOffset);
    if (bytes === undefined) return undefined;
    this.#kept.delete(hostOffset);
    this.#kept.set(hostOffset, bytes);
    return bytes;
  }

  /**
   * A unit that `find` does not know.
   *
   * @param decode fills a new buffer with it. @throws BlockError what `decode` throws; nothing is kept then
   */
  load(hostOffset: number, decode: (output: Uint8Array) => Co<void>): MaybePromise<Uint8Array> {
    const pending = this.#pending.get(hostOffset);
    if (pending !== undefined) return pending;
    const reading = start(this.#load(hostOffset, decode));
    if (isPromise(reading)) this.#pending.set(hostOffset, reading);
    return reading;
  }

  *#load(hostOffset: number, decode: (output: Uint8Array) => Co<void>): Co<Uint8Array> {
    const changes = this.#changes;
    const bytes = new Uint8Array(this.#unitBytes);
    try {
      yield* decode(bytes);
    } finally {
      if (changes === this.#changes) this.#pending.delete(hostOffset);
    }
    if (changes === this.#changes) this.#keep(hostOffset, bytes);
    return bytes;
  }

  #keep(hostOffset: number, bytes: Uint8Array): void {
    const oldest = this.#kept.keys().next();
    if (this.#kept.size >= this.#capacity && oldest.done !== true) this.#kept.delete(oldest.value);
    this.#kept.set(hostOffset, bytes);
  }
}

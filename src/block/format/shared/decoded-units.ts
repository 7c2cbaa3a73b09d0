/**
 * The last decompressed units (clusters, grains, chunks) of an image. A unit is decompressed whole, and most reads ask for a part, and
 * then for the next.
 */
import { chain, CoMutex, isPromise, start, type Co, type MaybePromise } from '../../co.ts';

/** Units that are larger are decompressed one at a time: so no more than one is in memory besides those that are kept. */
const LARGE_BYTES = 4 * 1024 * 1024;

/** What an image keeps. */
export interface KeptUnits {
  /** Of all kept units together. */
  readonly bytes: number;
  /** Units that are kept, however large they are. */
  readonly atLeast: number;
  readonly atMost: number;
}

const DEFAULT_KEPT: KeptUnits = { bytes: 1024 * 1024, atLeast: 2, atMost: 16 };

/** Fills a new buffer with a unit. */
export type DecodeUnit = (output: Uint8Array) => Co<void>;

export class DecodedUnits {
  readonly #limits: KeptUnits;
  /** By the number that the caller knows it by, the one that was used last at the end. */
  readonly #kept = new Map<number, Uint8Array>();
  #keptBytes = 0;
  /** Being decompressed: whoever wants the same unit waits for it too. */
  readonly #pending = new Map<number, Promise<Uint8Array>>();
  readonly #large = new CoMutex();
  /** How often something was forgotten: what was begun before that is not kept. */
  #changes = 0;

  constructor(limits: KeptUnits = DEFAULT_KEPT) {
    this.#limits = limits;
  }

  /** Other bytes are in the file now, at places where compressed units were. */
  forget(): void {
    this.#changes++;
    this.#kept.clear();
    this.#keptBytes = 0;
    this.#pending.clear();
  }

  /**
   * Reads a part of a unit.
   *
   * @param key where its bytes begin in the file, or its number
   * @param unitBytes of it, decompressed
   * @param at where in the unit the buffer's bytes are
   * @throws BlockError what `decode` throws; nothing is kept then
   */
  read(key: number, unitBytes: number, at: number, buffer: Uint8Array, decode: DecodeUnit): MaybePromise<void> {
    const copy = (bytes: Uint8Array): void => buffer.set(bytes.subarray(at, at + buffer.length));
    const kept = this.#find(key);
    if (kept !== undefined) return copy(kept);
    // Who reads it whole will not come back for the rest.
    if (buffer.length === unitBytes && unitBytes <= LARGE_BYTES) return start(decode(buffer));
    return chain(this.#loaded(key, unitBytes, decode), copy);
  }

  #find(key: number): Uint8Array | undefined {
    const bytes = this.#kept.get(key);
    if (bytes === undefined) return undefined;
    this.#kept.delete(key);
    this.#kept.set(key, bytes);
    return bytes;
  }

  #loaded(key: number, unitBytes: number, decode: DecodeUnit): MaybePromise<Uint8Array> {
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending;
    const loading = (): Co<Uint8Array> => this.#load(key, unitBytes, decode);
    const reading = start(unitBytes > LARGE_BYTES ? this.#large.run(loading) : loading());
    if (isPromise(reading)) this.#pending.set(key, reading);
    return reading;
  }

  *#load(key: number, unitBytes: number, decode: DecodeUnit): Co<Uint8Array> {
    const changes = this.#changes;
    const bytes = new Uint8Array(unitBytes);
    try {
      yield* decode(bytes);
    } finally {
      if (changes === this.#changes) this.#pending.delete(key);
    }
    if (changes === this.#changes) this.#keep(key, bytes);
    return bytes;
  }

  #keep(key: number, bytes: Uint8Array): void {
    this.#kept.set(key, bytes);
    this.#keptBytes += bytes.length;
    const { bytes: mostBytes, atLeast, atMost } = this.#limits;
    for (const [oldest, { length }] of this.#kept) {
      const { size } = this.#kept;
      if (size <= atMost && (this.#keptBytes <= mostBytes || size <= atLeast)) return;
      this.#kept.delete(oldest);
      this.#keptBytes -= length;
    }
  }
}

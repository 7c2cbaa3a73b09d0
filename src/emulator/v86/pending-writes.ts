/**
 * The writes and discards that are on their way to a disk, oldest first. One is in flight at a time, so that they reach the
 * disk in the order in which the guest issued them whatever they overlap; small adjacent writes that wait behind another are
 * joined into one (boot loaders write sector by sector). What is pending here is laid over what a read brings back.
 */

/** Joined writes grow up to this many bytes. */
const MAX_JOINED_BYTES = 1024 * 1024;

export interface PendingWrite {
  readonly offset: number;
  readonly length: number;
  /** The new bytes in pieces that follow one another, or `undefined` for a discard. */
  readonly parts: readonly Uint8Array[] | undefined;
}

interface QueuedWrite {
  readonly offset: number;
  length: number;
  readonly parts: Uint8Array[] | undefined;
  readonly finished: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/** What the queue works on. */
export interface WriteTarget {
  write(offset: number, data: Uint8Array): Promise<void>;
  discard(offset: number, length: number): Promise<void>;
}

export class PendingWrites {
  readonly #target: WriteTarget;
  /** The first is in flight while `#running`. */
  readonly #queue: QueuedWrite[] = [];
  #running = false;

  constructor(target: WriteTarget) {
    this.#target = target;
  }

  /** Takes `data` over. Resolves when it is on the disk; rejects with what the disk's write rejected with. */
  write(offset: number, data: Uint8Array): Promise<void> {
    return this.#join(offset, data) ?? this.#add(offset, data.length, [data]);
  }

  /** Resolves when the disk has taken the discard, after every write before it. */
  discard(offset: number, length: number): Promise<void> {
    return this.#add(offset, length, undefined);
  }

  /** What is pending and touches the range, oldest first. Later writes do not change the list. */
  overlapping(offset: number, length: number): readonly PendingWrite[] {
    return this.#queue.filter((entry) => entry.offset < offset + length && offset < entry.offset + entry.length);
  }

  /** Resolves when all that is pending now has reached the disk or failed. It never rejects. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#queue.map((entry) => entry.finished));
  }

  /** Appends to the newest write, if that has not been sent yet and this one continues it. */
  #join(offset: number, data: Uint8Array): Promise<void> | undefined {
    // The first of the queue is in flight.
    const last = this.#queue.length > 1 ? this.#queue.at(-1) : undefined;
    if (last?.parts === undefined || last.offset + last.length !== offset) return undefined;
    if (last.length + data.length > MAX_JOINED_BYTES) return undefined;
    last.parts.push(data);
    last.length += data.length;
    return last.finished;
  }

  #add(offset: number, length: number, parts: Uint8Array[] | undefined): Promise<void> {
    let resolve = (): void => {};
    let reject: (reason: unknown) => void = () => {};
    const finished = new Promise<void>((onDone, onFailed) => {
      resolve = onDone;
      reject = onFailed;
    });
    this.#queue.push({ offset, length, parts, finished, resolve, reject });
    // It does not reject: each failure goes to whoever issued the write.
    if (!this.#running) void this.#run();
    return finished;
  }

  async #run(): Promise<void> {
    this.#running = true;
    for (let entry = this.#queue[0]; entry !== undefined; entry = this.#queue[0]) {
      try {
        if (entry.parts === undefined) await this.#target.discard(entry.offset, entry.length);
        else await this.#target.write(entry.offset, joined(entry.parts, entry.length));
        this.#queue.shift();
        entry.resolve();
      } catch (error) {
        this.#queue.shift();
        entry.reject(error);
      }
    }
    this.#running = false;
  }
}

/** Lays the pending bytes over `buffer`, which holds what the disk has at `offset`. */
export function overlay(buffer: Uint8Array, offset: number, pending: readonly PendingWrite[]): void {
  for (const entry of pending) {
    let at = entry.offset - offset;
    for (const part of entry.parts ?? []) {
      copyInto(buffer, at, part);
      at += part.length;
    }
  }
}

/** Copies what of `source` falls into `target` when it is placed at `at`, which may be negative or past the end. */
export function copyInto(target: Uint8Array, at: number, source: Uint8Array): void {
  const from = Math.max(0, -at);
  const to = Math.min(source.length, target.length - at);
  if (to > from) target.set(source.subarray(from, to), at + from);
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/**
 * Requests in flight on one node, and who waits for whom. A serialising request has every overlapping request to itself: it is
 * used where a request changes how the image maps a cluster (allocate, zero, discard) or reads, modifies and writes a block.
 * Requests that never wait are never tracked: nothing can run beside them.
 */
import { start, type Co, type MaybePromise } from '../co.ts';

export type RequestKind = 'read' | 'write' | 'zero' | 'discard' | 'truncate' | 'snapshot';

/** QEMU: BdrvTrackedRequest. */
export class TrackedRequest {
  readonly kind: RequestKind;
  /** The range that others must not overlap: widened when the request becomes serialising. */
  start: number;
  end: number;
  serialising = false;
  /** The request that this one waits for: it does no I/O meanwhile. */
  waitingFor: TrackedRequest | undefined = undefined;
  readonly waiters: (() => void)[] = [];

  constructor(kind: RequestKind, offset: number, length: number) {
    this.kind = kind;
    this.start = offset;
    this.end = offset + length;
  }

  overlaps(other: TrackedRequest): boolean {
    return this.start < other.end && other.start < this.end;
  }
}

export class RequestTracker {
  readonly #requests = new Set<TrackedRequest>();
  /** How many requests in flight are serialising. While it is 0, reads and writes in place need not look at one another. */
  serialising = 0;

  get inFlight(): number {
    return this.#requests.size;
  }

  begin(kind: RequestKind, offset: number, length: number): TrackedRequest {
    const request = new TrackedRequest(kind, offset, length);
    this.#requests.add(request);
    return request;
  }

  end(request: TrackedRequest): void {
    this.#requests.delete(request);
    if (request.serialising) this.serialising--;
    for (const wake of request.waiters) wake();
  }

  /**
   * Enters a request into the books that was begun a moment ago and turned out to have to wait. Nothing can have run between,
   * so this is as good as before it began, and requests that never wait need no entry.
   */
  track(kind: RequestKind, offset: number, length: number, running: Promise<void>): MaybePromise<void> {
    return start(this.#untilDone(this.begin(kind, offset, length), running));
  }

  *#untilDone(request: TrackedRequest, running: Promise<void>): Co<void> {
    try {
      yield running;
    } finally {
      this.end(request);
    }
  }

  /** Waits until no request overlaps that must not run beside this one. */
  *waitForOverlapping(self: TrackedRequest): Co<void> {
    for (;;) {
      const other = this.#findConflict(self);
      if (other === undefined) return;
      self.waitingFor = other;
      yield new Promise<void>((resolve) => {
        other.waiters.push(resolve);
      });
      self.waitingFor = undefined;
    }
  }

  /**
   * Makes a request serialising over the units that it touches, and waits for those that overlap. The request must have no I/O
   * of its own in flight, and must look again at whatever it knew of the mapping.
   *
   * @param unit bytes; the range is widened to whole units
   */
  *makeSerialising(self: TrackedRequest, unit: number): Co<void> {
    if (!self.serialising) {
      self.serialising = true;
      this.serialising++;
    }
    self.start -= self.start % unit;
    self.end += (unit - (self.end % unit)) % unit;
    yield* this.waitForOverlapping(self);
  }

  #findConflict(self: TrackedRequest): TrackedRequest | undefined {
    for (const other of this.#requests) {
      if (other === self || !(other.serialising || self.serialising) || !other.overlaps(self)) continue;
      // One that waits already will look again when it wakes, and then waits for us. Waiting for it could be a deadlock.
      if (other.waitingFor === undefined) return other;
    }
    return undefined;
  }
}

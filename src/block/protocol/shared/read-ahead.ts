/** Recognises sequential reading, several streams at a time, and says what to fetch before it is asked for. */

const STREAMS = 4;

interface Stream {
  /** Where the next read of the stream would begin. */
  end: number;
  /** Up to where was fetched ahead. */
  aheadEnd: number;
  window: number;
}

export interface ReadAheadLimits {
  /** Bytes of the first window; 0 turns reading ahead off. */
  readonly min: number;
  /** Bytes that the window grows to, doubling each time. */
  readonly max: number;
  /** A read that skips no more than this still belongs to its stream. */
  readonly gap: number;
}

export class ReadAhead {
  readonly #limits: ReadAheadLimits;
  /** Most recently used last. */
  readonly #streams: Stream[] = [];

  constructor(limits: ReadAheadLimits) {
    this.#limits = limits;
  }

  /**
   * Takes note of a read.
   *
   * @returns the bytes to fetch now, or undefined when there is nothing to do
   */
  note(offset: number, end: number): { readonly from: number; readonly to: number } | undefined {
    if (this.#limits.max === 0) return undefined;
    const found = this.#streams.findIndex((stream) => offset >= stream.end && offset <= stream.end + this.#limits.gap);
    const [stream] = found < 0 ? [] : this.#streams.splice(found, 1);
    if (stream === undefined) {
      if (this.#streams.length === STREAMS) this.#streams.shift();
      this.#streams.push({ end, aheadEnd: end, window: 0 });
      return undefined;
    }
    this.#streams.push(stream);
    stream.end = end;
    stream.aheadEnd = Math.max(stream.aheadEnd, end);
    // Half a window is still to come: fetching the rest in one go later makes larger requests.
    if (stream.window > 0 && stream.aheadEnd - end > stream.window / 2) return undefined;
    stream.window = Math.min(this.#limits.max, Math.max(this.#limits.min, stream.window * 2));
    const from = stream.aheadEnd;
    stream.aheadEnd = end + stream.window;
    return stream.aheadEnd > from ? { from, to: stream.aheadEnd } : undefined;
  }
}

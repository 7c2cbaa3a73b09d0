/** The copy loop: one for convert and every block job. */
import { settle, start, withTasks, type Co, type MaybePromise } from '../co.ts';
import { NO_FLAGS, type RequestFlags } from '../driver.ts';
import { type BlockError, withContext } from '../error.ts';
import { SECTOR_SIZE, ZERO_BUFFER_BYTES } from '../limits.ts';
import { TimeSlice } from '../time-slice.ts';
import { requestBuffers, zeroRun } from './buffers.ts';
import { blockStatus, type StatusLayer } from './status.ts';

/** Data is copied in pieces of this many bytes, several at a time. */
export const COPY_BYTES = 4 * 1024 * 1024;

/**
 * So many at a time: with fewer the reading thread waits now and then, with more the bytes are in no cache any more when they are
 * written, and memory that is touched for the first time costs more than copying into it.
 */
const COPY_PARALLELISM = 5;

/** Where data comes from: a node. */
export interface CopySource extends StatusLayer {
  read(offset: number, buffer: Uint8Array): MaybePromise<void>;
}

/** Where it goes: a node's child, or a backend. */
export interface CopyTarget {
  write(offset: number, data: Uint8Array, flags?: RequestFlags): MaybePromise<void>;
  writeZeroes(offset: number, length: number, flags?: RequestFlags): MaybePromise<void>;
}

export interface CopySettings {
  /** The target reads as zeroes where nothing was written yet: zeroes are left out. */
  readonly targetIsZero: boolean;
  /** Data that turns out to be zero is treated as zeroes. qemu-img: -S. */
  readonly detectZeroes: boolean;
  /** Zeroes are looked for in runs of whole units of so many bytes. Default: only whole pieces. */
  readonly zeroUnit?: number | undefined;
  /** Zeroes are written like data, so that the target has room for all of the disk. qemu-img: -S 0. */
  readonly writeZeroesAsData?: boolean | undefined;
  /** Where the range begins in the target. Default: where it begins in the source. */
  readonly targetOffset?: number | undefined;
  /** What only this layer and those below it hold is left out: the target has it already. */
  readonly base?: StatusLayer | undefined;
  /** A new target that stands on `base` reads as zero from here on. Default: nowhere. */
  readonly baseLength?: number | undefined;
  /** Pieces in flight. Default: 5. */
  readonly parallel?: number | undefined;
  /** Pieces may be written in any order. Default: in that of the disk. qemu-img: -W. */
  readonly anyOrder?: boolean | undefined;
  /** Data is written with the flag `compressed`. */
  readonly compressed?: boolean | undefined;
  /** Goes on after a read that failed, with zeroes, sector by sector. Told of each such sector. qemu-img: --salvage. */
  readonly onUnreadable?: ((offset: number, error: unknown) => void) | undefined;
  /** Waits before bytes are written: a limit of the rate. */
  readonly pace?: ((bytes: number) => MaybePromise<void>) | undefined;
  /** Called as bytes are done, with how many of the range so far. Throws when the caller gave up. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

/**
 * Copies a guest range into a target, what is zero without reading it, and the rest several pieces at a time.
 *
 * @throws the first error of either side, with `detail.side` and `detail.offset`; nothing is in flight any more then
 */
export function* copyRange(
  source: CopySource,
  target: CopyTarget,
  offset: number,
  length: number,
  settings: CopySettings,
): Co<void> {
  yield* new Copy(source, target, offset, length, settings).run();
}

/** Bytes that are treated alike. */
interface Run {
  readonly length: number;
  readonly kind: 'data' | 'zero' | 'skip';
}

interface Piece extends Run {
  readonly offset: number;
}

/** The turn of a piece to write: it ends when its last write has been begun, and with that has its place in the target. */
class Turn {
  #passed = false;
  #next: (() => void) | undefined;

  pass(): void {
    this.#passed = true;
    this.#next?.();
  }

  /** Undefined: it has ended. There is one who waits for it, the next. */
  get ended(): Promise<void> | undefined {
    if (this.#passed) return undefined;
    return new Promise((resolve) => {
      this.#next = resolve;
    });
  }
}

function* waitFor(turn: Turn | undefined): Co<void> {
  const ended = turn?.ended;
  if (ended !== undefined) yield ended;
}

/** One copy while it runs. */
class Copy {
  readonly #source: CopySource;
  readonly #target: CopyTarget;
  readonly #settings: CopySettings;
  readonly #offset: number;
  readonly #end: number;
  readonly #shift: number;
  readonly #flags: RequestFlags;
  #done = 0;
  /** Up to here the source is known to hold data: it is not asked again for each piece. */
  #dataEnd = 0;
  /** That of the piece that was begun last. */
  #turn: Turn | undefined;

  constructor(source: CopySource, target: CopyTarget, offset: number, length: number, settings: CopySettings) {
    this.#source = source;
    this.#target = target;
    this.#settings = settings;
    this.#offset = offset;
    this.#end = offset + length;
    this.#shift = (settings.targetOffset ?? offset) - offset;
    this.#flags = settings.compressed === true ? { compressed: true } : NO_FLAGS;
  }

  *run(): Co<void> {
    const slice = new TimeSlice();
    const { parallel = COPY_PARALLELISM } = this.#settings;
    yield* withTasks(
      parallel,
      function* (this: Copy, tasks: Parameters<Parameters<typeof withTasks>[1]>[0]): Co<void> {
        for (let position = this.#offset; position < this.#end && !tasks.failed;) {
          const piece = yield* this.#pieceAt(position);
          yield* tasks.issue(() => this.#copy(piece));
          position += piece.length;
          yield* slice.pause();
        }
      }.bind(this),
    );
  }

  *#pieceAt(position: number): Co<Piece> {
    const known = this.#dataEnd - position;
    const run = known > 0 ? ({ kind: 'data', length: known } as const) : yield* this.#runAt(position);
    if (run.kind !== 'data') return { offset: position, ...run };
    const most = Math.min(COPY_BYTES - (position % COPY_BYTES), this.#end - position);
    let { length } = run;
    // Data that is looked up in small parts (compressed clusters, fragments) is still copied in large pieces.
    while (length < most) {
      const next = yield* this.#runAt(position + length);
      if (next.kind !== 'data') break;
      length += next.length;
    }
    this.#dataEnd = position + length;
    return { offset: position, length: Math.min(length, most), kind: 'data' };
  }

  /** What is to be done from a position on, and for how many bytes. */
  *#runAt(position: number): Co<Run> {
    const { base, baseLength = Number.MAX_SAFE_INTEGER, onUnreadable } = this.#settings;
    const left = this.#end - position;
    let status: { length: number; zero: boolean; present: boolean };
    try {
      status = yield* blockStatus(this.#source, position, left, base);
    } catch (error) {
      if (onUnreadable === undefined) throw atSide(error, 'status', position);
      status = { length: Math.min(left, SECTOR_SIZE), zero: false, present: true };
    }
    if (base !== undefined && position < baseLength) {
      const inside = Math.min(status.length, baseLength - position);
      if (!status.present || status.zero) return { length: inside, kind: status.present ? 'zero' : 'skip' };
    } else if (base !== undefined && !status.present) {
      // What the target stands on ends before what the source stands on does: this much is copied from there.
      status = yield* blockStatus(this.#source, position, status.length);
    }
    if (status.zero) return { length: status.length, kind: base === undefined ? 'zero' : 'skip' };
    return { length: status.length, kind: 'data' };
  }

  #copy(piece: Piece): MaybePromise<void> {
    const before = this.#settings.anyOrder === true ? undefined : this.#turn;
    const turn = (this.#turn = new Turn());
    return start(this.#copyPiece(piece, before, turn));
  }

  *#copyPiece(piece: Piece, before: Turn | undefined, turn: Turn): Co<void> {
    try {
      if (piece.kind === 'data') yield* this.#copyData(piece, before, turn);
      else if (piece.kind === 'zero') {
        const { targetIsZero, writeZeroesAsData } = this.#settings;
        if (!(targetIsZero && writeZeroesAsData !== true)) yield* waitFor(before);
        yield* this.#writeZeroes(piece.offset, piece.length);
      }
      // One that wrote nothing must not let the next go before the last.
      yield* waitFor(before);
    } finally {
      turn.pass();
    }
    this.#done += piece.length;
    this.#settings.onProgress?.(this.#done);
  }

  *#copyData({ offset, length }: Piece, before: Turn | undefined, turn: Turn): Co<void> {
    const buffer = requestBuffers.acquire(length);
    try {
      yield* this.#read(offset, buffer);
      yield* waitFor(before);
      const paced = this.#settings.pace?.(length);
      if (paced !== undefined) yield* settle(paced);
      yield* this.#writeData(offset, buffer, turn);
    } finally {
      requestBuffers.release(buffer);
    }
  }

  *#read(offset: number, buffer: Uint8Array): Co<void> {
    const { onUnreadable } = this.#settings;
    try {
      yield* settle(this.#source.read(offset, buffer));
    } catch (error) {
      if (onUnreadable === undefined) throw atSide(error, 'read', offset);
      yield* this.#salvage(offset, buffer, onUnreadable);
    }
  }

  *#salvage(offset: number, buffer: Uint8Array, onUnreadable: (offset: number, error: unknown) => void): Co<void> {
    for (let at = 0; at < buffer.length; at += SECTOR_SIZE) {
      const sector = buffer.subarray(at, at + SECTOR_SIZE);
      try {
        yield* settle(this.#source.read(offset + at, sector));
      } catch (error) {
        sector.fill(0);
        onUnreadable(offset + at, error);
      }
    }
  }

  /** Runs of units that are zero and of units that are not, one after the other. */
  *#writeData(offset: number, data: Uint8Array, turn: Turn): Co<void> {
    const { detectZeroes, zeroUnit = COPY_BYTES } = this.#settings;
    if (!detectZeroes) {
      yield* this.#write(offset, data, turn);
      return;
    }
    for (let from = 0; from < data.length;) {
      const { zero, end } = zeroRun(data, from, this.#unitEnd(offset + from, zeroUnit) - offset, zeroUnit);
      if (zero) yield* this.#writeZeroes(offset + from, end - from);
      else yield* this.#write(offset + from, data.subarray(from, end), end === data.length ? turn : undefined);
      from = end;
    }
  }

  /** Where the unit of the target ends that a position of the source goes to. */
  #unitEnd(position: number, unit: number): number {
    const at = position + this.#shift;
    return at - (at % unit) + unit - this.#shift;
  }

  /** @param turn of the piece whose last bytes they are: the next one need not wait until they are written */
  *#write(offset: number, data: Uint8Array, turn?: Turn): Co<void> {
    try {
      const written = this.#target.write(offset + this.#shift, data, this.#flags);
      // Compressed data has its place only when it is compressed.
      if (this.#settings.compressed !== true) turn?.pass();
      yield* settle(written);
    } catch (error) {
      throw atSide(error, 'write', offset + this.#shift);
    }
  }

  *#writeZeroes(offset: number, length: number): Co<void> {
    if (this.#settings.writeZeroesAsData === true) {
      // Compressed clusters are written whole.
      const { zeroUnit = 0 } = this.#settings;
      const zeroes = new Uint8Array(Math.min(length, Math.max(ZERO_BUFFER_BYTES, zeroUnit)));
      for (let at = 0; at < length; at += zeroes.length) {
        yield* this.#write(offset + at, zeroes.subarray(0, Math.min(zeroes.length, length - at)));
      }
      return;
    }
    if (this.#settings.targetIsZero) return;
    try {
      yield* settle(this.#target.writeZeroes(offset + this.#shift, length, { mayUnmap: true }));
    } catch (error) {
      throw atSide(error, 'write', offset + this.#shift);
    }
  }
}

function atSide(error: unknown, side: 'status' | 'read' | 'write', offset: number): BlockError {
  const known = withContext(error, {});
  known.context = { ...known.context, detail: { ...known.context.detail, side, offset } };
  return known;
}

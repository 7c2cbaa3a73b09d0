/** An open disk, as a page holds it. */
import { BlockError } from '../block/error.ts';
import type { BlockStatus, CheckResult, ImageInfo, NodeStatistics, OpenedDisk } from '../worker/api.ts';
import { DISCARD, FLUSH, READ, WRITE, WRITE_ZEROES } from '../worker/wire.ts';
import type { BufferPool } from './buffer-pool.ts';
import { callWith, type CallOptions } from './call.ts';
import { DataPort } from './data-port.ts';
import { exportStream } from './export-stream.ts';
import type { WorkerLink } from './link.ts';
import { DiskBitmaps } from './bitmaps.ts';
import { DiskSnapshots } from './snapshots.ts';

export interface ReadOptions {
  /**
   * A whole buffer of `length` bytes or more to read into, instead of one that is made. The call takes it away: its own views are
   * empty from then on, and the bytes that the call resolves to are in its memory.
   */
  readonly into?: ArrayBuffer | Uint8Array<ArrayBuffer> | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface WriteOptions {
  /** Give the buffer of the bytes away instead of copying them: all its views are empty from then on. */
  readonly transfer?: boolean | undefined;
  /** The write may happen all the same. */
  readonly signal?: AbortSignal | undefined;
}

export interface MapOptions extends CallOptions {
  /** Guest bytes; default: from the start. */
  readonly offset?: number | undefined;
  /** Bytes; default: to the end of the disk. */
  readonly length?: number | undefined;
}

export interface CheckOptions extends CallOptions {
  /** What to repair: space that nothing uses, or corruption as well. Default: nothing. */
  readonly repair?: 'leaks' | 'all' | undefined;
}

export interface ResizeOptions {
  /** Say so when the disk is to become smaller: what lies beyond the new end is lost. */
  readonly shrink?: boolean | undefined;
}

export interface ExportOptions extends CallOptions {
  /** Default: `qcow2`. */
  readonly format?: 'qcow2' | 'raw' | undefined;
}

/**
 * A disk that is open in the worker. Requests that are in flight together have no order among themselves; `flush` covers the writes
 * that had resolved when it was called. Every method rejects with a BlockError; with kind `closed` after `close`, and when the
 * worker dies.
 */
export class Disk {
  /** Name of the top node, `node-name` of its options. */
  readonly nodeName: string;
  /** Driver of the top node: `qcow2`, `raw` … */
  readonly format: string;
  readonly readOnly: boolean;
  readonly snapshots: DiskSnapshots;
  readonly bitmaps: DiskBitmaps;
  readonly #id: number;
  readonly #link: WorkerLink;
  readonly #pool: BufferPool;
  readonly #data: DataPort;
  readonly #onClosed: (disk: Disk) => void;
  readonly #forgetLink: () => void;
  #size: number;
  #closing: Promise<void> | undefined;

  /** Made by `Spindle.open`. @param onClosed is told once, when the disk is closed */
  constructor(opened: OpenedDisk, link: WorkerLink, pool: BufferPool, onClosed: (disk: Disk) => void) {
    this.nodeName = opened.nodeName;
    this.format = opened.format;
    this.readOnly = opened.readOnly;
    this.#id = opened.id;
    this.#size = opened.size;
    this.#link = link;
    this.#pool = pool;
    this.#data = new DataPort(opened.data, pool);
    this.snapshots = new DiskSnapshots(
      (begin) => this.#call((api) => begin(api, this.#id)),
      ({ size }) => {
        this.#size = size;
      },
    );
    this.bitmaps = new DiskBitmaps((begin) => this.#call(begin), this.#id);
    this.#onClosed = onClosed;
    this.#forgetLink = link.onEnd((error) => this.#data.fail(error));
  }

  /** Bytes. */
  get size(): number {
    return this.#size;
  }

  /**
   * Reads guest bytes.
   *
   * @param offset guest offset in bytes, of any alignment
   * @param length bytes; the range lies inside the disk
   * @returns exactly `length` bytes, the caller's own: nobody else has their buffer. `recycle` spares the making of the next one
   * @throws BlockError `invalid` outside the disk or for an `into` that does not fit, `aborted`, `closed`, and what storage reports
   */
  async read(offset: number, length: number, options: ReadOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    this.#checkRange('read', offset, length);
    const { into, signal } = options;
    const buffer = into === undefined ? this.#pool.take(length) : this.#pool.claim(wholeBuffer(into, length));
    const filled = await this.#data.request(READ, offset, length, { buffer, signal });
    return new Uint8Array(filled!, 0, length);
  }

  /**
   * Writes guest bytes. They are copied before the call returns, so the caller may change them at once.
   *
   * @param offset guest offset in bytes, of any alignment
   * @throws BlockError `invalid`, `permission` for a disk that is read-only, `no-space`, `aborted`, `closed`, and what storage reports
   */
  async write(offset: number, bytes: Uint8Array, options: WriteOptions = {}): Promise<void> {
    this.#checkRange('write', offset, bytes.length);
    const { transfer = false, signal } = options;
    const { length, byteOffset } = bytes;
    const buffer = transfer ? this.#pool.claim(bytes.buffer) : this.#copyOf(bytes);
    await this.#data.request(WRITE, offset, length, { buffer, first: transfer ? byteOffset : 0, signal });
  }

  /** Makes a range read as zeroes; space that it took is given back where the format can. */
  async writeZeroes(offset: number, length: number): Promise<void> {
    this.#checkRange('write zeroes', offset, length);
    await this.#data.request(WRITE_ZEROES, offset, length, {});
  }

  /** Says that nobody needs a range any more: its space may be given back, and it reads as zeroes or as before. */
  async discard(offset: number, length: number): Promise<void> {
    this.#checkRange('discard', offset, length);
    await this.#data.request(DISCARD, offset, length, {});
  }

  /** Everything whose write had resolved survives a power cut once this resolves. */
  async flush(): Promise<void> {
    this.#checkOpen();
    await this.#data.request(FLUSH, 0, 0, {});
  }

  /**
   * Gives the whole buffer of bytes that `read` returned back for later requests. The caller must not look at it any more: it may
   * be empty, or hold anything.
   *
   * @throws BlockError `invalid` for a buffer that was given away already
   */
  recycle(bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.buffer.byteLength > 0) this.#pool.put(this.#pool.claim(bytes.buffer));
  }

  /** The facts of `qemu-img info`, with its names, of the image and of those below it. */
  info(): Promise<ImageInfo> {
    return this.#call((api) => api.info(this.#id));
  }

  /**
   * Where the data is: the facts of `qemu-img map`, through the whole chain, in order and without gaps.
   *
   * @throws BlockError `invalid` outside the disk, and for a range of more than a million extents: ask for parts; `aborted`
   */
  map(options: MapOptions = {}): Promise<BlockStatus[]> {
    const { offset = 0, length = this.#size - offset } = options;
    return callWith('map', options, (call) => this.#call((api) => api.map(this.#id, offset, length, call)));
  }

  /**
   * Checks the image's metadata, and repairs it when asked to. Other requests wait meanwhile.
   *
   * @returns what was found; findings are no errors
   * @throws BlockError `unsupported` for formats without a check, `permission` for the repair of a read-only image, `aborted`
   */
  check(options: CheckOptions = {}): Promise<CheckResult> {
    const { repair = 'none' } = options;
    return callWith('check', options, (call) => this.#call((api) => api.check(this.#id, repair, call)));
  }

  /**
   * Changes the size of the disk.
   *
   * @param size bytes; formats round it up to whole sectors
   * @throws BlockError `invalid` for a smaller size without `shrink`, `unsupported` where the format cannot
   */
  async resize(size: number, options: ResizeOptions = {}): Promise<void> {
    const { shrink = false } = options;
    this.#size = await this.#call((api) => api.resize(this.#id, size, shrink));
  }

  /**
   * Changes what the image was created with, with the names of `qemu-img amend -o`. Other requests wait meanwhile.
   *
   * @throws BlockError `unsupported` for formats and changes that cannot be, `invalid` for options, `permission`, `aborted`
   */
  async amend(options: Readonly<Record<string, unknown>>, settings: CallOptions = {}): Promise<void> {
    this.#size = await callWith('amend', settings, (call) => this.#call((api) => api.amend(this.#id, options, call)));
  }

  /** Counters of every node, with the names of QEMU's `query-blockstats`. */
  stats(): Promise<NodeStatistics> {
    return this.#call((api) => api.stats(this.#id));
  }

  /**
   * The whole disk, through its chain, as one image file: for a download. Other requests to the disk wait until the stream has been
   * read to its end or cancelled, so that the file shows one moment. The worker makes a piece when the reader wants one.
   *
   * @throws BlockError `unsupported` for a format that cannot be written as a stream, `aborted`; the stream errors with a BlockError
   */
  async export(options: ExportOptions = {}): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    const { format = 'qcow2', signal } = options;
    // The progress of an export is that of its stream.
    const opened = await callWith('export', { signal }, (call) =>
      this.#call((api) => api.export(this.#id, format, call)),
    );
    return exportStream(opened, this.#link, options);
  }

  /**
   * Waits for the requests in flight, flushes, and closes the disk. Further calls give the same promise.
   *
   * @throws BlockError when the last flush failed; the disk is closed all the same
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await this.#data.idle();
    try {
      await this.#link.call((api) => api.close(this.#id));
    } finally {
      this.#forgetLink();
      this.#data.fail(closedError());
      this.#onClosed(this);
    }
  }

  #call<T>(begin: (api: WorkerLink['api']) => Promise<T>): Promise<T> {
    return this.#closing === undefined ? this.#link.call(begin) : Promise.reject(closedError());
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw closedError();
  }

  #checkRange(op: string, offset: number, length: number): void {
    this.#checkOpen();
    const isRange = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
    if (isRange && offset + length <= this.#size) return;
    throw new BlockError('invalid', `The range to ${op} is not inside the disk of ${this.#size} bytes`, {
      node: this.nodeName,
      op,
      offset,
      length,
    });
  }

  #copyOf(bytes: Uint8Array): ArrayBuffer {
    const buffer = this.#pool.take(bytes.length);
    new Uint8Array(buffer).set(bytes);
    return buffer;
  }
}

function closedError(): BlockError {
  return new BlockError('closed', 'The disk is closed: open it again');
}

/** The buffer that a caller gives away, if it is whole and long enough. */
function wholeBuffer(given: ArrayBuffer | Uint8Array<ArrayBuffer>, length: number): ArrayBuffer {
  const buffer = given instanceof Uint8Array ? given.buffer : given;
  if (given.byteLength !== buffer.byteLength) {
    throw new BlockError('invalid', 'Only a whole buffer can be given away: the bytes are a part of a longer one');
  }
  if (buffer.byteLength < length) {
    throw new BlockError('invalid', `The buffer to read into has ${buffer.byteLength} bytes, and ${length} are wanted`);
  }
  return buffer;
}

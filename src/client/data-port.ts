/**
 * The page's end of a disk's data port. Requests of one tick go in one message, each with the buffer that the worker fills or
 * stores; the worker sends every buffer back.
 */
import { BlockError } from '../block/error.ts';
import { unpackError } from '../worker/transfer.ts';
import {
  NUMBERS_PER_REPLY,
  OPERATION_NAMES,
  READ,
  WRITE,
  type DataOperation,
  type ReplyMessage,
  type RequestMessage,
} from '../worker/wire.ts';
import type { BufferPool } from './buffer-pool.ts';

interface Request {
  readonly operation: DataOperation;
  readonly resolve: (buffer: ArrayBuffer | undefined) => void;
  readonly reject: (error: unknown) => void;
  readonly signal: AbortSignal | undefined;
  /** Listens to the signal. */
  onAbort: (() => void) | undefined;
  /** The caller has its answer; what is still to come is the buffer. */
  given: boolean;
}

export interface RequestOptions {
  /** A read's buffer, or a write's data. It is ours from here on. */
  readonly buffer?: ArrayBuffer;
  /** Where in its buffer a write's data begins, in bytes. */
  readonly first?: number;
  readonly signal?: AbortSignal | undefined;
}

export class DataPort {
  readonly #port: MessagePort;
  readonly #pool: BufferPool;
  /** Requests that the worker has, by id. Ids are places in this list, so they stay small. */
  readonly #requests: (Request | undefined)[] = [];
  readonly #freeIds: number[] = [];
  #numbers: number[] = [];
  #buffers: ArrayBuffer[] = [];
  #dead: BlockError | undefined;
  #onIdle: (() => void)[] = [];

  constructor(port: MessagePort, pool: BufferPool) {
    this.#port = port;
    this.#pool = pool;
    port.onmessage = ({ data }: MessageEvent<ReplyMessage>) => this.#handle(data);
  }

  /** How many requests the worker has not answered. */
  get inFlight(): number {
    return this.#requests.length - this.#freeIds.length;
  }

  /**
   * Sends a request with all others of this tick.
   *
   * @param offset guest offset in bytes; it and `length` are checked by the worker
   * @returns a read's buffer, filled from its start; the buffer of a write goes to the pool
   * @throws BlockError what the worker reports; `aborted`, `closed`
   */
  request(
    operation: DataOperation,
    offset: number,
    length: number,
    options: RequestOptions,
  ): Promise<ArrayBuffer | undefined> {
    const { buffer, first = 0, signal } = options;
    if (this.#dead !== undefined) return Promise.reject(this.#dead);
    if (signal?.aborted === true) {
      if (buffer !== undefined) this.#pool.put(buffer);
      return Promise.reject(abortedError(signal, OPERATION_NAMES[operation]));
    }
    return new Promise((resolve, reject) => {
      const request: Request = { operation, resolve, reject, signal, onAbort: undefined, given: false };
      const id = this.#enlist(request);
      if (this.#numbers.length === 0) queueMicrotask(() => this.#send());
      this.#numbers.push(id, operation, offset, length, first);
      if (buffer !== undefined) this.#buffers.push(buffer);
      if (signal !== undefined) rejectOnAbort(request, signal);
    });
  }

  /** Resolves when every request has been answered. */
  idle(): Promise<void> {
    if (this.inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle.push(resolve);
    });
  }

  /** Rejects every request that is in flight, and every later one. */
  fail(error: BlockError): void {
    if (this.#dead !== undefined) return;
    this.#dead = error;
    this.#port.close();
    for (const [id, request] of this.#requests.entries()) {
      if (request === undefined) continue;
      this.#retire(id, request);
      if (!request.given) request.reject(error);
    }
    this.#wakeIfIdle();
  }

  #enlist(request: Request): number {
    const id = this.#freeIds.pop() ?? this.#requests.length;
    this.#requests[id] = request;
    return id;
  }

  #retire(id: number, request: Request): void {
    this.#requests[id] = undefined;
    this.#freeIds.push(id);
    if (request.onAbort !== undefined) request.signal?.removeEventListener('abort', request.onAbort);
  }

  #send(): void {
    const message: RequestMessage = { numbers: this.#numbers, buffers: this.#buffers };
    this.#numbers = [];
    this.#buffers = [];
    if (this.#dead !== undefined) return;
    this.#port.postMessage(message, message.buffers as ArrayBuffer[]);
    this.#pool.sent(message.buffers);
  }

  #handle({ numbers, buffers, errors }: ReplyMessage): void {
    let nextBuffer = 0;
    let nextError = 0;
    for (const buffer of buffers) this.#pool.received(buffer);
    for (let at = 0; at < numbers.length; at += NUMBERS_PER_REPLY) {
      const id = numbers[at]!;
      const request = this.#requests[id]!;
      const hasBuffer = request.operation === READ || request.operation === WRITE;
      const buffer = hasBuffer ? buffers[nextBuffer++]! : undefined;
      this.#retire(id, request);
      if (numbers[at + 1] === 0) this.#succeed(request, buffer);
      else this.#reject(request, buffer, unpackError(errors[nextError++]!));
    }
    this.#wakeIfIdle();
  }

  #succeed(request: Request, buffer: ArrayBuffer | undefined): void {
    if (buffer !== undefined && (request.given || request.operation === WRITE)) this.#pool.put(buffer);
    if (!request.given) request.resolve(buffer);
  }

  #reject(request: Request, buffer: ArrayBuffer | undefined, error: unknown): void {
    if (buffer !== undefined) this.#pool.put(buffer);
    if (!request.given) request.reject(error);
  }

  #wakeIfIdle(): void {
    if (this.#onIdle.length === 0 || this.inFlight > 0) return;
    for (const wake of this.#onIdle.splice(0)) wake();
  }
}

/** The caller need not wait any longer; the request itself goes on. */
function rejectOnAbort(request: Request, signal: AbortSignal): void {
  request.onAbort = () => {
    request.given = true;
    request.reject(abortedError(signal, OPERATION_NAMES[request.operation]));
  };
  signal.addEventListener('abort', request.onAbort, { once: true });
}

/** @param op what was given up, for the message */
export function abortedError(signal: AbortSignal, op: string): BlockError {
  return new BlockError('aborted', `The caller gave up: ${op}`, { op }, { cause: signal.reason });
}

/**
 * The worker's end of a disk's data port: takes the requests of a message, fills or stores their buffers without copying, and
 * sends the buffers back. What a synchronous graph has answered by the end of a message goes back in one reply.
 */
import { isPromise, settle, start, type Co, type MaybePromise } from '../block/co.ts';
import { BlockError, withContext } from '../block/error.ts';
import type { BlockBackend } from '../block/graph/backend.ts';
import { TimeSlice } from '../block/time-slice.ts';
import { packError } from './transfer.ts';
import {
  DISCARD,
  FLUSH,
  NUMBERS_PER_REQUEST,
  READ,
  WRITE,
  WRITE_ZEROES,
  type ReplyMessage,
  type RequestMessage,
  type WireError,
} from './wire.ts';

/** A longer request is done in pieces of this many bytes, and other messages get their turn between them. */
const PIECE_BYTES = 8 * 1024 * 1024;

/** Replies with this many bytes go out at once, while the rest of their message is being worked on. */
const REPLY_BYTES = 1024 * 1024;

/** A request to be done to the bytes from `offset` on, which begin at `start` of the request's buffer. */
type Step = (offset: number, length: number, start: number) => MaybePromise<void>;

export class DataPort {
  readonly #backend: BlockBackend;
  readonly #port: MessagePort;
  readonly #inspectOnly: boolean;
  #numbers: number[] = [];
  #buffers: ArrayBuffer[] = [];
  #errors: WireError[] = [];
  #waitingBytes = 0;
  /** The reply goes out when the message is done, or at the end of this task. */
  #replyIsDue = false;

  /** @param inspectOnly the disk was opened without what its image names: its data is not all there, so none is given out */
  constructor(backend: BlockBackend, port: MessagePort, inspectOnly: boolean) {
    this.#backend = backend;
    this.#port = port;
    this.#inspectOnly = inspectOnly;
    port.onmessage = ({ data }: MessageEvent<RequestMessage>) => this.#handle(data);
  }

  /** Requests that are still in flight are no longer answered. */
  close(): void {
    this.#port.close();
  }

  #handle({ numbers, buffers }: RequestMessage): void {
    this.#replyIsDue = true;
    let next = 0;
    for (let at = 0; at < numbers.length; at += NUMBERS_PER_REQUEST) {
      const operation = numbers[at + 1]!;
      const buffer = operation === READ || operation === WRITE ? buffers[next++] : undefined;
      this.#begin(numbers[at]!, operation, numbers[at + 2]!, numbers[at + 3]!, numbers[at + 4]!, buffer);
    }
    this.#sendReplies();
  }

  #begin(id: number, operation: number, offset: number, length: number, first: number, buffer?: ArrayBuffer): void {
    let result: MaybePromise<void>;
    try {
      result = this.#perform(operation, offset, length, first, buffer);
    } catch (error) {
      this.#failed(id, buffer, error);
      return;
    }
    if (!isPromise(result)) {
      this.#done(id, buffer);
      return;
    }
    result.then(
      () => this.#done(id, buffer),
      (error: unknown) => this.#failed(id, buffer, error),
    );
  }

  #perform(
    operation: number,
    offset: number,
    length: number,
    first: number,
    buffer: ArrayBuffer | undefined,
  ): MaybePromise<void> {
    if (operation === FLUSH) return this.#backend.flush();
    if (this.#inspectOnly) throw inspectOnlyError();
    const step = this.#step(operation, buffer);
    return length <= PIECE_BYTES ? step(offset, length, first) : start(inPieces(step, offset, length, first));
  }

  #step(operation: number, buffer: ArrayBuffer | undefined): Step {
    const backend = this.#backend;
    switch (operation) {
      case READ:
        return (offset, length, at) => backend.read(offset, new Uint8Array(buffer!, at, length));
      case WRITE:
        return (offset, length, at) => backend.write(offset, new Uint8Array(buffer!, at, length));
      case WRITE_ZEROES:
        return (offset, length) => backend.writeZeroes(offset, length, { mayUnmap: true });
      case DISCARD:
        return (offset, length) => backend.discard(offset, length);
      default:
        throw new BlockError('internal', `A data port has no operation ${operation}`);
    }
  }

  #done(id: number, buffer: ArrayBuffer | undefined): void {
    this.#numbers.push(id, 0);
    this.#reply(buffer);
  }

  #failed(id: number, buffer: ArrayBuffer | undefined, error: unknown): void {
    this.#numbers.push(id, 1);
    this.#errors.push(packError(withContext(error, { node: this.#backend.node.nodeName })));
    this.#reply(buffer);
  }

  #reply(buffer: ArrayBuffer | undefined): void {
    if (buffer !== undefined) {
      this.#buffers.push(buffer);
      this.#waitingBytes += buffer.byteLength;
    }
    if (this.#waitingBytes >= REPLY_BYTES) {
      this.#sendReplies();
    } else if (!this.#replyIsDue) {
      this.#replyIsDue = true;
      queueMicrotask(() => this.#sendReplies());
    }
  }

  #sendReplies(): void {
    this.#replyIsDue = false;
    if (this.#numbers.length === 0) return;
    const reply: ReplyMessage = { numbers: this.#numbers, buffers: this.#buffers, errors: this.#errors };
    this.#numbers = [];
    this.#buffers = [];
    this.#errors = [];
    this.#waitingBytes = 0;
    this.#port.postMessage(reply, reply.buffers as ArrayBuffer[]);
  }
}

/** Pieces end at multiples of their size, so that each covers whole clusters. */
function* inPieces(step: Step, offset: number, length: number, first: number): Co<void> {
  const slice = new TimeSlice();
  for (let done = 0; done < length;) {
    const count = Math.min(PIECE_BYTES - ((offset + done) % PIECE_BYTES), length - done);
    yield* settle(step(offset + done, count, first + done));
    done += count;
    yield* slice.pause();
  }
}

function inspectOnlyError(): BlockError {
  return new BlockError(
    'invalid',
    "The disk was opened with 'inspect', without the files that its image names: open it without to read or write its data",
  );
}

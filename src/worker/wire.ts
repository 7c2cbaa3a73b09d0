/** The messages beside comlink's: the greeting, a disk's data port, the port of a long call, and that of an export. */

/** Page and worker of different releases refuse each other. */
export const PROTOCOL_VERSION = 1;

/** The page's first message to a worker. A worker that is not Spindle's takes no notice of it. */
export interface Greeting {
  readonly spindle: number;
  /** Comlink's calls go here once the worker has answered `WelcomeMessage`. */
  readonly control: MessagePort;
  /** A Web Lock that the worker holds as long as it lives. */
  readonly lifeLock: string;
}

/** The worker's first message on the control port. */
export interface WelcomeMessage {
  readonly spindle: number;
  /** Whether the worker holds the life lock: false where there are no Web Locks. */
  readonly holdsLock: boolean;
}

/** Tells whether a message is a page's greeting. */
export function isGreeting(data: unknown): data is Greeting {
  if (typeof data !== 'object' || data === null) return false;
  const { spindle, control } = data as Partial<Greeting>;
  return typeof spindle === 'number' && control instanceof MessagePort;
}

// ── Data port of a disk ─────────────────────────────────────────────────────────────────────────────────────────────

export const READ = 0;
export const WRITE = 1;
export const WRITE_ZEROES = 2;
export const DISCARD = 3;
export const FLUSH = 4;
export type DataOperation = typeof READ | typeof WRITE | typeof WRITE_ZEROES | typeof DISCARD | typeof FLUSH;

/** Names for messages, by operation. */
export const OPERATION_NAMES = ['read', 'write', 'write zeroes', 'discard', 'flush'] as const;

/**
 * Requests that were issued together, in one message. `numbers` holds five for each: id, operation, guest offset, length in
 * bytes, and for a write where in its buffer the data begins. `buffers` holds one for each read (to be filled from its start) and
 * each write, in the order of the requests; every one of them comes back with the reply. Numbers in a flat array and no objects:
 * that is what makes a message cheap.
 */
export interface RequestMessage {
  readonly numbers: readonly number[];
  readonly buffers: readonly ArrayBuffer[];
}
export const NUMBERS_PER_REQUEST = 5;

/** Replies in any order. `numbers` holds two for each: id, and 1 for one that failed, whose error is the next of `errors`. */
export interface ReplyMessage {
  readonly numbers: readonly number[];
  /** One for each read and write, in the order of the replies. */
  readonly buffers: readonly ArrayBuffer[];
  readonly errors: readonly WireError[];
}
export const NUMBERS_PER_REPLY = 2;

// ── Errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** An error as a message can carry it. */
export type WireError =
  | {
      readonly type: 'block';
      readonly kind: string;
      readonly message: string;
      readonly context: object;
      readonly stack: string | undefined;
      readonly cause: WireError | undefined;
    }
  | {
      readonly type: 'error';
      readonly name: string;
      readonly message: string;
      readonly stack: string | undefined;
      readonly cause: WireError | undefined;
    }
  | { readonly type: 'value'; readonly value: unknown };

// ── Port of a long call ─────────────────────────────────────────────────────────────────────────────────────────────

/** Page to worker: the caller has given up. */
export const ABORT = 'abort';

/** Worker to page: bytes done, and of how many. */
export type ProgressMessage = readonly [done: number, total: number];

// ── Port of an export ───────────────────────────────────────────────────────────────────────────────────────────────

/** Page to worker. */
export const NEXT_PIECE = 'next';
export const CANCEL_EXPORT = 'cancel';

/** Worker to page, once for each `NEXT_PIECE`. `piece` is undefined at the end. */
export type PieceMessage =
  | { readonly piece: Uint8Array<ArrayBuffer> | undefined; readonly doneBytes: number }
  | { readonly error: WireError };

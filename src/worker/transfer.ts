/**
 * Errors on their way between page and worker. Structured cloning keeps only the name and message of an error, and comlink only
 * those and the stack; a `BlockError` must arrive as one, with its kind, context and causes.
 */
import { transferHandlers, type TransferHandler } from 'comlink';
import { BLOCK_ERROR_KINDS, BlockError, type BlockErrorContext, type BlockErrorKind } from '../block/error.ts';
import type { WireError } from './wire.ts';

/** Causes of causes are kept to this depth. */
const MAX_CAUSES = 8;

/** Makes an error into what a message can carry. Never throws: what cannot be carried is told in words. */
export function packError(error: unknown, depth = 0): WireError {
  if (!(error instanceof Error)) return { type: 'value', value: cloneable(error) ? error : String(error) };
  const { message, stack } = error;
  const cause = error.cause === undefined || depth >= MAX_CAUSES ? undefined : packError(error.cause, depth + 1);
  if (!(error instanceof BlockError)) return { type: 'error', name: error.name, message, stack, cause };
  return { type: 'block', kind: error.kind, message, context: packContext(error.context), stack, cause };
}

/** Makes an error again of what `packError` gave. */
export function unpackError(packed: WireError): unknown {
  if (packed.type === 'value') return packed.value;
  const cause = packed.cause === undefined ? undefined : unpackError(packed.cause);
  const error = packed.type === 'block' ? blockError(packed, cause) : plainError(packed, cause);
  // The stack of the other side: it shows where it happened.
  if (packed.stack !== undefined) error.stack = packed.stack;
  return error;
}

function blockError(packed: WireError & { type: 'block' }, cause: unknown): BlockError {
  const kind = isKind(packed.kind) ? packed.kind : 'internal';
  return new BlockError(kind, packed.message, packed.context, { cause });
}

function plainError(packed: WireError & { type: 'error' }, cause: unknown): Error {
  const error = new Error(packed.message, cause === undefined ? undefined : { cause });
  error.name = packed.name;
  return error;
}

function isKind(text: string): text is BlockErrorKind {
  return (BLOCK_ERROR_KINDS as readonly string[]).includes(text);
}

/** The detail of a context may hold a caller's options, and those may hold anything. */
function packContext(context: BlockErrorContext): object {
  if (cloneable(context)) return context;
  const { detail, ...others } = context;
  const kept = Object.entries(detail ?? {}).filter(([, value]) => cloneable(value));
  return { ...others, detail: Object.fromEntries(kept) };
}

function cloneable(value: unknown): boolean {
  try {
    structuredClone(value);
    return true;
  } catch {
    // The answer is no; nothing is lost.
    return false;
  }
}

interface Thrown {
  readonly value: unknown;
}

/** What comlink's own handler sends, and beside it the whole error. A plain comlink on the other side understands it too. */
interface PackedThrown {
  readonly packed?: WireError;
}

/**
 * Puts our handler in the place of comlink's for what a call throws. Comlink has one table of handlers for all its users in a
 * program, so this one takes and understands everything that comlink's own does. Further calls change nothing.
 */
export function installErrorTransfer(): void {
  const original = transferHandlers.get('throw');
  if (original === undefined) throw new BlockError('internal', 'This comlink has no handler for what calls throw');
  if (installed.has(original)) return;
  const ours: TransferHandler<Thrown, PackedThrown> = {
    canHandle: (value): value is Thrown => original.canHandle(value),
    serialize: (thrown) => {
      const [plain, transferables] = original.serialize(thrown);
      return [{ ...(plain as object), packed: packError(thrown.value) }, transferables];
    },
    deserialize: (sent) => {
      if (sent.packed === undefined) return original.deserialize(sent) as Thrown;
      throw unpackError(sent.packed);
    },
  };
  installed.add(ours);
  transferHandlers.set('throw', ours);
}

const installed = new WeakSet<object>();

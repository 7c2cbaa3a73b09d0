/**
 * The one error class of the block layer. Programs look at `kind`, people read `message` and `describe()`, and the context
 * says where it happened. Findings of a check and scores of a probe are results, not errors.
 */

export const BLOCK_ERROR_KINDS = [
  /** An argument or option of the caller is wrong. */
  'invalid',
  /** A format, feature or operation that is known by name and not supported. */
  'unsupported',
  'not-found',
  'exists',
  /** In use by another tab, program or node. */
  'busy',
  /** A write to something that was opened read-only, or a permission that another user of the node does not share. */
  'permission',
  /** An image names a file and the policy does not allow to open it. */
  'denied',
  /** An image is encrypted, and no passphrase was given for it. */
  'passphrase-needed',
  /** A passphrase was given that does not open the image. */
  'wrong-passphrase',
  /** The metadata of an image contradicts itself or its specification. */
  'corrupt',
  /** The storage failed. */
  'io',
  'no-space',
  /** A backing file is not the one that its overlay was made on, or a file changed while it was being read. */
  'base-changed',
  'aborted',
  /** A synchronous call would have had to wait. */
  'would-block',
  /** The node, backend or connection was closed, or its worker died. */
  'closed',
  /** A defect of this library: please report it. */
  'internal',
] as const;

export type BlockErrorKind = (typeof BLOCK_ERROR_KINDS)[number];

/** Where an error happened. Everything is optional: each layer fills in what it knows on the way up. */
export interface BlockErrorContext {
  /** Name of the innermost node that saw the error. */
  readonly node?: string;
  readonly driver?: string;
  readonly op?: string;
  /** Bytes, in the address space of `node`. */
  readonly offset?: number;
  readonly length?: number;
  /** The nodes between `node` and the caller, innermost first. */
  readonly via?: readonly string[];
  /** File, URL or path that it is about. */
  readonly filename?: string;
  /** What else a program may want to know, such as the identity of a changed base. Plain data only. */
  readonly detail?: Readonly<Record<string, unknown>>;
}

export class BlockError extends Error {
  readonly kind: BlockErrorKind;
  context: BlockErrorContext;

  /**
   * @param kind what sort of error, for programs
   * @param message what was wrong and what to do about it, a sentence without the context's facts
   */
  constructor(
    kind: BlockErrorKind,
    message: string,
    context: BlockErrorContext = {},
    options: { readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'BlockError';
    this.kind = kind;
    this.context = context;
  }

  /** The message with where it happened, in one line. */
  describe(): string {
    const { node, driver, op, offset, length, via, filename } = this.context;
    const where = [
      node !== undefined && `node '${node}'${driver === undefined ? '' : ` (${driver})`}`,
      filename !== undefined && `file '${filename}'`,
      op !== undefined && op,
      offset !== undefined && `offset ${offset}`,
      length !== undefined && `length ${length}`,
      via !== undefined && via.length > 0 && `used by ${via.map((name) => `'${name}'`).join(', ')}`,
    ].filter((part) => part !== false);
    return where.length === 0 ? this.message : `${this.message} [${where.join(', ')}]`;
  }
}

/**
 * Gives an error on its way up the context of the layer it passes: what is not known yet is filled in, and a node above the
 * one that failed is added to `via`. Anything that is not a `BlockError` is a defect and becomes kind `internal`.
 */
export function withContext(error: unknown, context: BlockErrorContext): BlockError {
  if (!(error instanceof BlockError)) {
    const message = error instanceof Error ? error.message : String(error);
    return new BlockError('internal', message, context, { cause: error });
  }
  const known = error.context;
  if (known.node === undefined || context.node === undefined) {
    error.context = { ...context, ...known };
  } else if (known.node !== context.node && known.via?.at(-1) !== context.node) {
    error.context = { ...known, via: [...(known.via ?? []), context.node] };
  }
  return error;
}

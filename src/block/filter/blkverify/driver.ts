/**
 * `blkverify`: does everything to two images, and compares what they give. One is trusted (`raw`), one is being tested (`test`).
 *
 * A range that is read while it is being written may differ between the two at that moment: who does that sees a mismatch that is
 * none, as with QEMU's.
 *
 * Source: QEMU, "blkverify.txt" and QAPI, BlockdevOptionsBlkverify.
 */
import { settle, start, type Co, type MaybePromise } from '../../co.ts';
import type { BlockChild, Filter, FilterDriver, RequestFlags } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import type { OptionSchema } from '../../options.ts';

const PREFIX = 'blkverify:';

const schema = {
  test: { type: 'any', help: 'the image that is tested' },
} as const satisfies OptionSchema;

export const blkverify: FilterDriver<typeof schema> = {
  kind: 'filter',
  name: 'blkverify',
  options: schema,
  childName: 'raw',

  parseFilename: (filename) => {
    if (!filename.startsWith(PREFIX)) return undefined;
    const rest = filename.slice(PREFIX.length);
    const colon = rest.indexOf(':');
    if (colon < 0) {
      throw new BlockError('invalid', 'blkverify requires raw copy and original image path', { filename });
    }
    return {
      driver: 'blkverify',
      raw: { filename: rest.slice(0, colon) },
      test: { filename: rest.slice(colon + 1) },
    };
  },

  *open(context): Co<Filter> {
    const test = yield* context.openReference('test', undefined, ['data']);
    return new VerifyFilter(test);
  },
};

class VerifyFilter implements Filter {
  readonly synchronous = true;
  readonly #test: BlockChild;

  constructor(test: BlockChild) {
    this.#test = test;
  }

  /** The tested image's: a raw copy may be padded. */
  length(): number {
    return this.#test.length;
  }

  read(raw: BlockChild, offset: number, buffer: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    return start(this.#read(raw, offset, buffer, flags));
  }

  *#read(raw: BlockChild, offset: number, buffer: Uint8Array, flags: RequestFlags): Co<void> {
    const expected = new Uint8Array(buffer.length);
    yield* both(
      'read',
      { offset, length: buffer.length },
      () => this.#test.read(offset, buffer, flags),
      () => raw.read(offset, expected),
    );
    const difference = firstDifference(buffer, expected);
    if (difference >= 0) {
      throw mismatch('read', offset, buffer.length, `contents mismatch at offset ${offset + difference}`);
    }
  }

  write(raw: BlockChild, offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    // Compressed, and what else there may be, is for the tested image alone.
    const range = { offset, length: data.length };
    return start(
      both(
        'write',
        range,
        () => this.#test.write(offset, data, flags),
        () => raw.write(offset, data),
      ),
    );
  }

  writeZeroes(raw: BlockChild, offset: number, length: number, flags: RequestFlags): MaybePromise<void> {
    return start(
      both(
        'write',
        { offset, length },
        () => this.#test.writeZeroes(offset, length, flags),
        () => raw.writeZeroes(offset, length, flags),
      ),
    );
  }

  /** What is read after a discard is each image's own business: there would be nothing to compare. */
  discard(): void {
    // Nothing is given back.
  }

  flush(raw: BlockChild): MaybePromise<void> {
    return start(
      both(
        'flush',
        { offset: 0, length: 0 },
        () => this.#test.flush(),
        () => raw.flush(),
      ),
    );
  }

  truncate(raw: BlockChild, length: number): MaybePromise<void> {
    return start(
      both(
        'truncate',
        { offset: length, length: 0 },
        () => this.#test.truncate(length),
        () => raw.truncate(length),
      ),
    );
  }
}

/** Does the same to both at the same time. @throws BlockError what both throw; `corrupt` when only one does */
function* both(
  op: string,
  { offset, length }: { readonly offset: number; readonly length: number },
  test: () => MaybePromise<void>,
  raw: () => MaybePromise<void>,
): Co<void> {
  // Both have settled before this goes on: no image is left behind with a request in flight.
  const [tested, trusted] = yield* pair(test, raw);
  if (tested === undefined && trusted === undefined) return;
  if (tested !== undefined && trusted !== undefined) throw tested.error;
  const which = tested === undefined ? 'raw' : 'test';
  const cause = (tested ?? trusted)?.error;
  const message = cause instanceof Error ? cause.message : String(cause);
  throw mismatch(op, offset, length, `return value mismatch: only the '${which}' image failed: ${message}`);
}

/** The error of a request that failed. */
type Outcome = { readonly error: unknown } | undefined;

function* pair(test: () => MaybePromise<void>, raw: () => MaybePromise<void>): Co<[Outcome, Outcome]> {
  const first = attempt(test);
  const second = attempt(raw);
  return [yield* settle(first), yield* settle(second)];
}

function attempt(request: () => MaybePromise<void>): MaybePromise<Outcome> {
  return start(outcome(request));
}

function* outcome(request: () => MaybePromise<void>): Co<Outcome> {
  try {
    yield* settle(request());
    return undefined;
  } catch (error) {
    return { error };
  }
}

function mismatch(op: string, offset: number, length: number, what: string): BlockError {
  return new BlockError('corrupt', `blkverify: ${op} offset=${offset} bytes=${length} ${what}`, {
    detail: { blkverify: true },
  });
}

/** Where two buffers of one length differ first, or -1. */
function firstDifference(a: Uint8Array, b: Uint8Array): number {
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return index;
  return -1;
}

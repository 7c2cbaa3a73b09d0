/**
 * `copy-on-read`: what is read from the backing chain is kept in the image, so that it is fetched once.
 *
 * Source: QEMU, QAPI, BlockdevOptionsCor.
 */
import { settle, start, type Co, type MaybePromise } from '../../co.ts';
import type { BlockChild, Filter, FilterContext, FilterDriver, RequestFlags } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';

const schema = {
  bottom: {
    type: 'string',
    help: 'name of the lowest node of the chain that is copied from; without it, all of them',
  },
} as const satisfies OptionSchema;

export const copyOnRead: FilterDriver<typeof schema> = {
  kind: 'filter',
  name: 'copy-on-read',
  options: schema,

  *open(context): Co<Filter> {
    if (context.flags.readOnly) {
      throw new BlockError('permission', "Can't use copy-on-read on read-only device");
    }
    const { bottom } = context.options;
    if (bottom === undefined) return new CopyOnRead();
    // Asked once for its name's sake: one that is not in the chain is refused now, not at the first read.
    if (context.file.length > 0) yield* context.allocatedAbove(0, 1, bottom);
    return new CopyOnReadDownTo(context, bottom);
  },
};

/** The core does it where the image is, beside the guest's writes: `io/copy-on-read.ts`. */
class CopyOnRead implements Filter {
  readonly synchronous = true;

  read(next: BlockChild, offset: number, buffer: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    return next.read(offset, buffer, { ...flags, copyOnRead: true });
  }
}

/** Copies only what a layer down to `bottom` holds. */
class CopyOnReadDownTo implements Filter {
  readonly synchronous = true;
  readonly #context: FilterContext<OptionValues<typeof schema>>;
  readonly #bottom: string;

  constructor(context: FilterContext<OptionValues<typeof schema>>, bottom: string) {
    this.#context = context;
    this.#bottom = bottom;
  }

  read(next: BlockChild, offset: number, buffer: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    return start(this.#read(next, offset, buffer, flags));
  }

  *#read(next: BlockChild, offset: number, buffer: Uint8Array, flags: RequestFlags): Co<void> {
    for (let done = 0; done < buffer.length;) {
      const inside = Math.min(buffer.length - done, next.length - (offset + done));
      // Past the end of the disk nothing is held by anyone.
      const { length, allocated } =
        inside > 0
          ? yield* this.#context.allocatedAbove(offset + done, inside, this.#bottom)
          : { length: buffer.length - done, allocated: false };
      const part = buffer.subarray(done, done + length);
      yield* settle(next.read(offset + done, part, { ...flags, copyOnRead: allocated }));
      done += part.length;
    }
  }
}

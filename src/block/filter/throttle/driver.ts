/** `throttle`: holds requests back so that a group of disks stays within limits. Source: QEMU, QAPI, BlockdevOptionsThrottle. */
import { settle, start, type Co, type MaybePromise } from '../../co.ts';
import type { BlockChild, Filter, FilterDriver, RequestFlags } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import type { OptionSchema } from '../../options.ts';
import { ThrottleGroup, type Direction, type ThrottleMember } from './group.ts';

const schema = {
  'throttle-group': { type: 'string', help: 'name of the group, an object of the graph', required: true },
} as const satisfies OptionSchema;

export const throttle: FilterDriver<typeof schema> = {
  kind: 'filter',
  name: 'throttle',
  options: schema,

  // A coroutine by its type; nothing has to be read.
  // oxlint-disable-next-line require-yield
  *open({ object, options }): Co<Filter> {
    const name = options['throttle-group'];
    const group = findGroup(object, name);
    if (!(group instanceof ThrottleGroup)) {
      throw new BlockError('invalid', `Throttle group '${name}' does not exist`);
    }
    return new ThrottleFilter(group);
  },
};

function findGroup(object: (id: string) => unknown, name: string): unknown {
  try {
    return object(name);
  } catch (error) {
    if (error instanceof BlockError && error.kind === 'not-found') return undefined;
    throw error;
  }
}

class ThrottleFilter implements Filter {
  readonly #group: ThrottleGroup;
  readonly #member: ThrottleMember;

  constructor(group: ThrottleGroup) {
    this.#group = group;
    this.#member = group.join();
  }

  read(next: BlockChild, offset: number, buffer: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    return this.#throttled('read', buffer.length, () => next.read(offset, buffer, flags));
  }

  write(next: BlockChild, offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    return this.#throttled('write', data.length, () => next.write(offset, data, flags));
  }

  writeZeroes(next: BlockChild, offset: number, length: number, flags: RequestFlags): MaybePromise<void> {
    return this.#throttled('write', length, () => next.writeZeroes(offset, length, flags));
  }

  discard(next: BlockChild, offset: number, length: number): MaybePromise<void> {
    return this.#throttled('write', length, () => next.discard(offset, length));
  }

  drainBegin(): void {
    this.#group.drainBegin(this.#member);
  }

  drainEnd(): void {
    this.#group.drainEnd(this.#member);
  }

  close(): void {
    this.#group.leave(this.#member);
  }

  #throttled(direction: Direction, bytes: number, pass: () => MaybePromise<void>): MaybePromise<void> {
    const waiting = this.#group.admit(this.#member, direction, bytes);
    return waiting === undefined ? pass() : start(afterwards(waiting, pass));
  }
}

function* afterwards(waiting: Promise<void>, pass: () => MaybePromise<void>): Co<void> {
  yield waiting;
  yield* settle(pass());
}

// Nothing in this file may be reported.
import { type Co, type MaybePromise, settle, start } from '../../../src/block/co.ts';

declare function read(offset: number): MaybePromise<number>;
declare function isReady(): MaybePromise<boolean>;
declare function begin(): Promise<void>;

function* leaf(offset: number): Co<number> {
  const value = yield* settle(read(offset));
  return value + 1;
}

function* untyped(offset: number) {
  yield begin();
  return yield* leaf(offset);
}

export function run(offset: number): MaybePromise<number> {
  return start(leaf(offset));
}

export function handOn(offset: number): Co<number> {
  return offset > 0 ? leaf(offset) : untyped(offset);
}

export function* later(offset: number): Co<number> {
  const co = leaf(offset);
  const ready = yield* settle(isReady());
  if (!ready) yield begin();
  return yield* co;
}

declare function withLock<T>(body: () => Co<T>): Co<T>;
declare function runAll(bodies: readonly Co<number>[]): MaybePromise<void>;

export function* nested(): Co<number> {
  const pending: Co<number>[] = [leaf(1)];
  pending.push(leaf(2));
  yield* settle(runAll([leaf(3), leaf(4)]));
  return yield* withLock(() => leaf(5));
}

export const table: { readonly [verb: string]: (offset: number) => Co<number> } = {
  leaf: (offset) => leaf(offset),
  block: (offset) => {
    return leaf(offset);
  },
};

export function* numbers(): Generator<number> {
  yield 1;
}

export function drive(): unknown {
  const co = leaf(0);
  return [co.next(), leaf(1).next(), [...numbers()]];
}

export function* maybe(work: Promise<void> | undefined): Co<void> {
  if (work !== undefined) yield work;
  const value = read(0);
  if (value === undefined) return;
  // The caller hears of a failure through the status page.
  void begin();
  void begin(); // likewise
}

export function pages(offset: number, buffer: Uint8Array, flags: number, mask: bigint, wideOffset: bigint): unknown {
  return [Math.floor(offset / 512), buffer.length >> 2, flags | 1, mask & wideOffset, 'text'.length & 3];
}

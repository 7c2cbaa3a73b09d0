/** Assertions that also work where the test runner is not: inside a worker. Each failure says what it was about. */
import { BlockError, type BlockErrorKind } from '../../src/block/error.ts';
import { equalBytes } from './random.ts';

export function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

export function same(actual: unknown, expected: unknown, what: string): void {
  if (!Object.is(actual, expected)) throw new Error(`${what}: expected ${String(expected)}, got ${String(actual)}`);
}

/** @throws with the place of the first byte that differs. */
export function sameBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  same(actual.length, expected.length, `${what}: bytes`);
  if (equalBytes(actual, expected)) return;
  const at = actual.findIndex((byte, index) => byte !== expected[index]);
  throw new Error(`${what}: byte ${at} is ${actual[at]}, expected ${expected[at]}`);
}

/**
 * Does something that must fail, whether it throws or rejects.
 *
 * @returns the error, after seeing that it is a BlockError of that kind
 */
export async function failsWith(kind: BlockErrorKind, body: () => unknown, what: string): Promise<BlockError> {
  let result: unknown;
  try {
    result = await body();
  } catch (error) {
    if (!(error instanceof BlockError)) throw new Error(`${what}: not a BlockError`, { cause: error });
    if (error.kind !== kind) throw new Error(`${what}: expected kind ${kind}, got ${error.kind}`, { cause: error });
    return error;
  }
  throw new Error(`${what}: expected an error of kind ${kind}, got ${String(result)}`);
}

/** Does something again for as long as a disk is in use, ten seconds at most. */
export async function untilFree(body: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    try {
      await body();
      return;
    } catch (error) {
      if (!(error instanceof BlockError) || error.kind !== 'busy' || performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** One thing that is done to a hostile image. */
import type { MaybePromise } from '../../src/block/co.ts';
import { BlockError } from '../../src/block/error.ts';

/** A step that takes longer is a defect: all work is bounded by the file, and that has a few megabytes at most. */
const MAX_STEP_SECONDS = 10;

/** Does a step that may fail, but only with a BlockError that is no defect's. @returns undefined if it failed */
export async function step<T>(name: string, body: () => MaybePromise<T>): Promise<T | undefined> {
  const began = performance.now();
  const outcome = await attempt(name, body);
  const seconds = (performance.now() - began) / 1000;
  if (seconds > MAX_STEP_SECONDS) throw new Error(`${name} took ${seconds.toFixed(1)} s`);
  return outcome;
}

async function attempt<T>(name: string, body: () => MaybePromise<T>): Promise<T | undefined> {
  try {
    return await body();
  } catch (error) {
    if (error instanceof BlockError && error.kind !== 'internal') return undefined;
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    throw new Error(`${name}: ${String(error)}\n${cause instanceof Error ? cause.stack : ''}`, { cause: error });
  }
}

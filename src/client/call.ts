/** The page's end of a long call: progress from the worker, and the caller's signal. */
import { transfer } from 'comlink';
import { BlockError } from '../block/error.ts';
import { ABORT, type ProgressMessage } from '../worker/wire.ts';
import { abortedError } from './data-port.ts';

export interface CallOptions {
  /** Aborting it ends the call with kind `aborted`. */
  readonly signal?: AbortSignal | undefined;
  /** Called about ten times a second, with bytes done and the bytes there are. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Makes a call that can be watched and given up.
 *
 * @param op what it is, for messages
 * @param begin makes the call with the port to pass along, undefined when the caller wants neither
 * @throws BlockError `aborted` once the worker has stopped, and what the call throws
 */
export async function callWith<T>(
  op: string,
  options: CallOptions,
  begin: (call: MessagePort | undefined) => Promise<T>,
): Promise<T> {
  const { signal, onProgress } = options;
  if (signal !== undefined && isAborted(signal)) throw abortedError(signal, op);
  if (signal === undefined && onProgress === undefined) return begin(undefined);
  const { port1, port2 } = new MessageChannel();
  const onAbort = (): void => port1.postMessage(ABORT);
  signal?.addEventListener('abort', onAbort, { once: true });
  port1.onmessage = ({ data: [done, total] }: MessageEvent<ProgressMessage>) => onProgress?.(done, total);
  try {
    return await begin(transfer(port2, [port2]));
  } catch (error) {
    const stopped = error instanceof BlockError && error.kind === 'aborted';
    throw stopped && signal !== undefined && isAborted(signal) ? abortedError(signal, op) : error;
  } finally {
    signal?.removeEventListener('abort', onAbort);
    port1.close();
  }
}

/** It changes while a call is under way, which the compiler does not expect of a property. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

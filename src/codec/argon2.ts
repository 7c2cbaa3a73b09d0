/**
 * Passphrases into keys: argon2, version 1.3, without a secret of its own. Source: RFC 9106.
 *
 * In WebAssembly, which is loaded when it is first needed: several times as fast as JavaScript. What it takes is measured in seconds
 * and in gigabytes, and it does not let others run meanwhile: hosts do it on threads of their own, and say so with `useArgon2`.
 */
import { settle, start, type Co, type MaybePromise } from '../block/co.ts';
import { BlockError } from '../block/error.ts';

export interface Argon2Cost {
  readonly passes: number;
  /** At least eight for each lane. */
  readonly memoryKiB: number;
  readonly lanes: number;
}

export type Argon2Type = 'argon2i' | 'argon2id';

/** @param salt 8 bytes or more. @param length bytes of the key, 4 or more */
export type Argon2 = (
  type: Argon2Type,
  password: Uint8Array,
  salt: Uint8Array,
  cost: Argon2Cost,
  length: number,
) => MaybePromise<Uint8Array>;

let implementation: Argon2 | undefined;

/** Makes argon2 use an implementation of the host's; undefined: the one in WebAssembly. */
export function useArgon2(host: Argon2 | undefined): void {
  implementation = host;
}

/** @throws BlockError `unsupported` where there is no WebAssembly, or not so much memory */
export const argon2: Argon2 = (type, password, salt, cost, length) => start(derive(type, password, salt, cost, length));

function* derive(
  type: Argon2Type,
  password: Uint8Array,
  salt: Uint8Array,
  cost: Argon2Cost,
  length: number,
): Co<Uint8Array> {
  const { passes, memoryKiB, lanes } = cost;
  // WebAssembly's refuses a password of no bytes.
  if (password.length === 0) {
    const { argon2idAsync, argon2iAsync } = yield* settle(import('@noble/hashes/argon2.js'));
    const inJavaScript = type === 'argon2i' ? argon2iAsync : argon2idAsync;
    return yield* settle(inJavaScript(password, salt, { t: passes, m: memoryKiB, p: lanes, dkLen: length }));
  }
  try {
    return yield* settle((implementation ?? argon2InWebAssembly)(type, password, salt, cost, length));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new BlockError(
      'unsupported',
      `trying a passphrase takes ${Math.ceil(memoryKiB / 1024)} MiB of memory and WebAssembly, which cannot be had here (${why})`,
      {},
      { cause },
    );
  }
}

/** As hosts call it on threads of their own. */
export const argon2InWebAssembly: Argon2 = (type, password, salt, cost, length) =>
  start(deriveInWebAssembly(type, password, salt, cost, length));

function* deriveInWebAssembly(
  type: Argon2Type,
  password: Uint8Array,
  salt: Uint8Array,
  { passes, memoryKiB, lanes }: Argon2Cost,
  length: number,
): Co<Uint8Array> {
  const { argon2i, argon2id } = yield* settle(import('./argon2-library.ts'));
  const options = { password, salt, iterations: passes, memorySize: memoryKiB, parallelism: lanes, hashLength: length };
  return yield* settle((type === 'argon2i' ? argon2i : argon2id)({ ...options, outputType: 'binary' }));
}

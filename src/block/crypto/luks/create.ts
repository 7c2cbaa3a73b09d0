/** A new LUKS1 header with one passphrase in its first key slot. */
import type { Co } from '../../co.ts';
import { settle } from '../../co.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { digestLength, type HashName } from '../../../codec/hashes.ts';
import { iterationsPerSecond } from '../../../codec/pbkdf2.ts';
import { CIPHER_ALGORITHMS, keyBytesOf, type CipherSpec } from '../cipher-spec.ts';
import { encodeHeader, keyMaterialBytes, type LuksHeader } from './header.ts';
import { emptySlot, filledSlot, keyDigest, randomBytes, writeKeyMaterial, type LuksArea } from './key-slots.ts';
import {
  DIGEST_BYTES,
  KEY_ALIGNMENT,
  KEY_SLOTS,
  MAX_ITERATIONS,
  MIN_ITERATIONS,
  SALT_BYTES,
  STRIPES,
} from './layout.ts';

export interface LuksParameters {
  readonly cipher: CipherSpec;
  readonly hash: HashName;
  /** How long a passphrase shall take to be tried on this machine. */
  readonly iterTimeMs: number;
}

/** QEMU's default. */
export const DEFAULT_ITER_TIME_MS = 2000;

/**
 * @returns the parameters, if an image can be made of them that QEMU can read
 * @throws BlockError `invalid` for an IV generator's hash that gives no key; `unsupported` for 192-bit keys without XTS, whose
 *   key material is not whole sectors: QEMU stops with an assertion there
 */
export function checkParameters(parameters: LuksParameters): LuksParameters {
  const { cipher } = parameters;
  const ivKeyBytes = cipher.ivHash === undefined ? undefined : digestLength(cipher.ivHash);
  const isKey = CIPHER_ALGORITHMS.some((algorithm) => keyBytesOf({ algorithm, mode: 'cbc' }) === ivKeyBytes);
  if (ivKeyBytes !== undefined && !isKey) {
    throw new BlockError('invalid', `No AES cipher with key size ${ivKeyBytes} available: use another ivgen-hash-alg`);
  }
  if ((keyBytesOf(cipher) * STRIPES) % SECTOR_SIZE !== 0) {
    throw new BlockError(
      'unsupported',
      `LUKS images with ${cipher.algorithm} in mode ${cipher.mode} cannot be made: QEMU cannot read them. Use mode xts`,
    );
  }
  return parameters;
}

/** Bytes of header and key slots together: where the encrypted disk begins. */
export function headerAreaBytes(cipher: CipherSpec): number {
  return slotOffset(cipher, KEY_SLOTS);
}

function slotOffset(cipher: CipherSpec, index: number): number {
  const material = Math.ceil(keyMaterialBytes(keyBytesOf(cipher)) / KEY_ALIGNMENT) * KEY_ALIGNMENT;
  return KEY_ALIGNMENT + index * material;
}

/**
 * Writes header and key material. Not flushed; the header is written last.
 *
 * @returns the header and the volume's key, to encrypt with
 */
export function* createLuks(
  area: Pick<LuksArea, 'write'>,
  { cipher, hash, iterTimeMs }: LuksParameters,
  passphrase: Uint8Array,
): Co<{ header: LuksHeader; key: Uint8Array }> {
  const keyBytes = keyBytesOf(cipher);
  const key = randomBytes(keyBytes);
  const slots = Array.from({ length: KEY_SLOTS }, (_, index) => emptySlot({ keyOffset: slotOffset(cipher, index) }));
  const first = filledSlot(slots[0]!, yield* iterationsFor(hash, keyBytes, iterTimeMs));
  const digestIterations = Math.max(MIN_ITERATIONS, Math.floor(first.iterations / 8));
  const blank: LuksHeader = {
    cipher,
    hash,
    payloadOffset: headerAreaBytes(cipher),
    keyBytes,
    keyDigest: new Uint8Array(DIGEST_BYTES),
    keyDigestSalt: randomBytes(SALT_BYTES),
    keyDigestIterations: digestIterations,
    uuid: crypto.randomUUID(),
    slots: [first, ...slots.slice(1)],
  };
  const header = { ...blank, keyDigest: yield* keyDigest(blank, key) };
  yield* writeKeyMaterial(area, header, first, key, passphrase);
  yield* settle(area.write(0, encodeHeader(header)));
  return { header, key };
}

/** How long the machine's speed is measured. */
const MEASURE_MS = 100;

/** @returns iterations of PBKDF2 that take about so long here, within the limits */
export function* iterationsFor(hash: HashName, keyBytes: number, iterTimeMs: number): Co<number> {
  const perSecond = yield* iterationsPerSecond(hash, keyBytes, Math.min(MEASURE_MS, iterTimeMs / 8));
  const wanted = Math.floor((perSecond * iterTimeMs) / 1000);
  return Math.min(Math.max(wanted, MIN_ITERATIONS), MAX_ITERATIONS);
}

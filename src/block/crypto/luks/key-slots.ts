/** Getting the volume's key out of a key slot, and putting it into one. */
import { settle, type Co, type MaybePromise } from '../../co.ts';
import { BlockError } from '../../error.ts';
import { pbkdf2 } from '../../../codec/pbkdf2.ts';
import { SectorCipher } from '../sector-cipher.ts';
import { keyMaterialBytes, type KeySlot, type LuksHeader } from './header.ts';
import { DIGEST_BYTES, SALT_BYTES, STRIPES } from './layout.ts';
import { mergeKey, splitKey } from './split.ts';

/** Where header and key material are: offset 0 is the header's first byte. */
export interface LuksArea {
  /** Bytes. */
  readonly length: number;
  read(offset: number, buffer: Uint8Array): MaybePromise<void>;
  write(offset: number, data: Uint8Array): MaybePromise<void>;
  flush(): MaybePromise<void>;
}

export interface Unlocked {
  readonly slot: number;
  readonly key: Uint8Array;
}

/**
 * Tries a passphrase on all active key slots.
 *
 * @throws BlockError `wrong-passphrase`
 */
export function* unlock(area: LuksArea, header: LuksHeader, passphrase: Uint8Array): Co<Unlocked> {
  for (let slot = 0; slot < header.slots.length; slot++) {
    const key = yield* keyOfSlot(area, header, slot, passphrase);
    if (key !== undefined) return { slot, key };
  }
  throw new BlockError('wrong-passphrase', 'Invalid password, cannot unlock any keyslot');
}

/** @returns the volume's key, or undefined when the slot is not active or holds another passphrase */
export function* keyOfSlot(
  area: LuksArea,
  header: LuksHeader,
  index: number,
  passphrase: Uint8Array,
): Co<Uint8Array | undefined> {
  const slot = header.slots[index]!;
  if (!slot.active) return undefined;
  const cipher = yield* slotCipher(header, slot, passphrase);
  const stripes = new Uint8Array(keyMaterialBytes(header.keyBytes));
  yield* settle(area.read(slot.keyOffset, stripes));
  cipher.decrypt(0, stripes);
  const key = mergeKey(stripes, header.keyBytes, header.hash);
  stripes.fill(0);
  const digest = yield* keyDigest(header, key);
  if (isSame(digest, header.keyDigest)) return key;
  key.fill(0);
  return undefined;
}

/**
 * Writes a volume's key into a slot's key material, under a passphrase. The header must say so afterwards.
 *
 * @param slot with salt and iterations as they will stand in the header
 */
export function* writeKeyMaterial(
  area: Pick<LuksArea, 'write'>,
  header: LuksHeader,
  slot: KeySlot,
  key: Uint8Array,
  passphrase: Uint8Array,
): Co<void> {
  const cipher = yield* slotCipher(header, slot, passphrase);
  const stripes = new Uint8Array(keyMaterialBytes(header.keyBytes));
  stripes.set(splitKey(key, header.hash, fillRandom));
  cipher.encrypt(0, stripes);
  yield* settle(area.write(slot.keyOffset, stripes));
}

function* slotCipher(header: LuksHeader, slot: KeySlot, passphrase: Uint8Array): Co<SectorCipher> {
  const slotKey = yield* settle(pbkdf2(header.hash, passphrase, slot.salt, slot.iterations, header.keyBytes));
  const cipher = new SectorCipher(header.cipher, slotKey);
  slotKey.fill(0);
  return cipher;
}

/** What the header keeps of the volume's key to know it by. */
export function* keyDigest(
  { hash, keyDigestSalt, keyDigestIterations }: Pick<LuksHeader, 'hash' | 'keyDigestSalt' | 'keyDigestIterations'>,
  key: Uint8Array,
): Co<Uint8Array> {
  return yield* settle(pbkdf2(hash, key, keyDigestSalt, keyDigestIterations, DIGEST_BYTES));
}

/** A slot that holds a key under a new salt, in the place of an old one. */
export function filledSlot({ keyOffset }: Pick<KeySlot, 'keyOffset'>, iterations: number): KeySlot {
  return { active: true, iterations, salt: randomBytes(SALT_BYTES), keyOffset, stripes: STRIPES };
}

export function emptySlot({ keyOffset }: Pick<KeySlot, 'keyOffset'>): KeySlot {
  return { active: false, iterations: 0, salt: new Uint8Array(SALT_BYTES), keyOffset, stripes: STRIPES };
}

export function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  fillRandom(bytes);
  return bytes;
}

/** WebCrypto gives so many bytes at a time. */
const RANDOM_BYTES = 65536;

function fillRandom(bytes: Uint8Array<ArrayBuffer>): void {
  for (let at = 0; at < bytes.length; at += RANDOM_BYTES) crypto.getRandomValues(bytes.subarray(at, at + RANDOM_BYTES));
}

/** Takes as long whatever the difference. */
export function isSame(first: Uint8Array, second: Uint8Array): boolean {
  let difference = first.length ^ second.length;
  for (let index = 0; index < first.length; index++) difference |= first[index]! ^ (second[index] ?? 0);
  return difference === 0;
}

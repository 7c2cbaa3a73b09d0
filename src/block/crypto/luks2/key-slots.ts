/** Getting the key of a LUKS2 volume out of its key slots. */
import { argon2 } from '../../../codec/argon2.ts';
import { pbkdf2 } from '../../../codec/pbkdf2.ts';
import { settle, type Co } from '../../co.ts';
import { BlockError } from '../../error.ts';
import { parseHash } from '../cipher-spec.ts';
import { keyMaterialBytes } from '../luks/header.ts';
import { isSame, type LuksArea } from '../luks/key-slots.ts';
import { MAX_ITERATIONS, STRIPES } from '../luks/layout.ts';
import { mergeKey } from '../luks/split.ts';
import { SectorCipher } from '../sector-cipher.ts';
import { MAX_ARGON2_BLOCKS, MAX_ARGON2_KIB, MAX_ARGON2_LANES, PRIORITY_IGNORE } from './layout.ts';
import type { Kdf, Luks2Digest, Luks2KeySlot, Luks2Metadata, PassphraseSlot } from './metadata.ts';
import { parseEncryption, printable } from './segment.ts';

/**
 * Tries a passphrase on all key slots that a digest is for, those that are preferred first, but not those that are to be ignored.
 * A slot that cannot be tried here is passed over.
 *
 * @returns the key, for the caller to wipe
 * @throws BlockError `wrong-passphrase`; `unsupported` when no slot could be tried, saying why
 */
export function* unlock(
  area: LuksArea,
  metadata: Luks2Metadata,
  digest: Luks2Digest,
  passphrase: Uint8Array,
): Co<Uint8Array> {
  const passedOver: string[] = [];
  const slots = slotsToTry(metadata, digest);
  for (const [number, slot] of slots) {
    try {
      const key = yield* keyOfSlot(area, slot, digest, passphrase);
      if (key !== undefined) return key;
    } catch (error) {
      if (!(error instanceof BlockError) || (error.kind !== 'unsupported' && error.kind !== 'corrupt')) throw error;
      passedOver.push(`key slot ${number}: ${error.message}`);
    }
  }
  if (passedOver.length > 0 && passedOver.length === slots.length) {
    throw new BlockError('unsupported', `No key slot of the LUKS2 volume can be tried. ${passedOver.join('; ')}`);
  }
  const rest = passedOver.length === 0 ? '' : ` (not tried: ${passedOver.join('; ')})`;
  throw new BlockError('wrong-passphrase', `Invalid password, cannot unlock any keyslot${rest}`);
}

function slotsToTry({ keySlots }: Luks2Metadata, digest: Luks2Digest): [number: number, slot: Luks2KeySlot][] {
  return [...keySlots]
    .filter(([number, { priority }]) => digest.keySlots.includes(number) && priority !== PRIORITY_IGNORE)
    .toSorted(([, a], [, b]) => b.priority - a.priority);
}

/** @returns undefined when the passphrase is another one's */
function* keyOfSlot(
  area: LuksArea,
  slot: Luks2KeySlot,
  digest: Luks2Digest,
  passphrase: Uint8Array,
): Co<Uint8Array | undefined> {
  const { content, keyBytes } = slot;
  if (content === undefined) throw unsupported(`its type '${printable(slot.type)}' is not known`);
  // Everything that may be refused is, before a second is spent on the passphrase.
  const spec = parseEncryption(content.encryption, content.areaKeyBytes);
  const splitHash = parseHash(content.splitHash);
  const stripes = new Uint8Array(materialBytes(content, keyBytes, area));
  const check = parseCheck(digest);
  checkCost(content.kdf);
  const slotKey = yield* deriveKey(content.kdf, passphrase, content.areaKeyBytes);
  const cipher = new SectorCipher(spec, slotKey);
  slotKey.fill(0);
  yield* settle(area.read(content.offset, stripes));
  cipher.decrypt(0, stripes);
  const key = mergeKey(stripes, keyBytes, splitHash);
  stripes.fill(0);
  const found = yield* settle(pbkdf2(check.hash, key, check.salt, check.iterations, check.digest.length));
  if (isSame(found, check.digest)) return key;
  key.fill(0);
  return undefined;
}

function materialBytes({ stripes, offset, length }: PassphraseSlot, keyBytes: number, area: LuksArea): number {
  if (stripes !== STRIPES) throw unsupported(`it has ${stripes} stripes; ${STRIPES} can be read`);
  const bytes = keyMaterialBytes(keyBytes);
  if (bytes <= length && offset + bytes <= area.length) return bytes;
  throw new BlockError(
    'corrupt',
    `its key material has ${bytes} bytes at ${offset}, in a place of ${length} bytes and a file of ${area.length}`,
  );
}

function parseCheck({ type, check }: Luks2Digest) {
  if (check === undefined) throw unsupported(`digests of type '${printable(type)}' are not known`);
  checkIterations(check.iterations, 'the digest');
  return { ...check, hash: parseHash(check.hash) };
}

/** What a header asks for is the header's word, and it may be there to make us hang. */
function checkCost(kdf: Kdf): void {
  if (kdf.type === 'unknown') throw unsupported(`its key derivation '${printable(kdf.name)}' is not known`);
  if (kdf.type === 'pbkdf2') {
    checkIterations(kdf.iterations, 'it');
    return;
  }
  const { passes, memoryKiB, lanes } = kdf;
  if (memoryKiB > MAX_ARGON2_KIB) {
    throw unsupported(
      `trying a passphrase would take ${mebibytes(memoryKiB)} MiB of memory, and ${mebibytes(MAX_ARGON2_KIB)} are the limit: ` +
        "add a key slot that needs less with 'cryptsetup luksAddKey --pbkdf-memory'",
    );
  }
  if (passes * memoryKiB > MAX_ARGON2_BLOCKS) {
    throw unsupported(
      `trying a passphrase would take ${passes} passes over ${mebibytes(memoryKiB)} MiB, and ` +
        `${mebibytes(MAX_ARGON2_BLOCKS)} MiB in all are the limit`,
    );
  }
  if (lanes > MAX_ARGON2_LANES || memoryKiB < 8 * lanes) {
    throw new BlockError('corrupt', `argon2 with ${lanes} lanes in ${memoryKiB} KiB is not possible`);
  }
}

function checkIterations(iterations: number, what: string): void {
  if (iterations <= MAX_ITERATIONS) return;
  throw unsupported(
    `${what} asks for ${iterations} iterations, and ${MAX_ITERATIONS} are the limit: more take minutes`,
  );
}

function mebibytes(kibibytes: number): number {
  return Math.ceil(kibibytes / 1024);
}

function* deriveKey(kdf: Kdf, passphrase: Uint8Array, length: number): Co<Uint8Array> {
  if (kdf.type === 'unknown') throw unsupported(`its key derivation '${printable(kdf.name)}' is not known`);
  if (kdf.type === 'pbkdf2') {
    return yield* settle(pbkdf2(parseHash(kdf.hash), passphrase, kdf.salt, kdf.iterations, length));
  }
  return yield* settle(argon2(kdf.type, passphrase, kdf.salt, kdf, length));
}

function unsupported(why: string): BlockError {
  return new BlockError('unsupported', why);
}

/** The LUKS1 header as a value: read, checked for what it says about itself, and written. */
import type { HashName } from '../../../codec/hashes.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { cipherModeText, parseCipher, parseHash, type CipherSpec } from '../cipher-spec.ts';
import {
  DIGEST_BYTES,
  FIELD,
  HEADER_BYTES,
  KEY_SLOT_BYTES,
  KEY_SLOTS,
  MAGIC,
  MAX_ITERATIONS,
  NAME_BYTES,
  SALT_BYTES,
  SLOT_ACTIVE,
  SLOT_FIELD,
  SLOT_INACTIVE,
  STRIPES,
  UUID_BYTES,
} from './layout.ts';

export interface KeySlot {
  readonly active: boolean;
  readonly iterations: number;
  readonly salt: Uint8Array;
  /** Bytes from the start of the header to the key material. */
  readonly keyOffset: number;
  readonly stripes: number;
}

export interface LuksHeader {
  readonly cipher: CipherSpec;
  readonly hash: HashName;
  /** Bytes from the start of the header to the encrypted disk. */
  readonly payloadOffset: number;
  readonly keyBytes: number;
  readonly keyDigest: Uint8Array;
  readonly keyDigestSalt: Uint8Array;
  readonly keyDigestIterations: number;
  readonly uuid: string;
  readonly slots: readonly KeySlot[];
}

/** Bytes of a slot's key material, whole sectors. */
export function keyMaterialBytes(keyBytes: number): number {
  return Math.ceil((keyBytes * STRIPES) / SECTOR_SIZE) * SECTOR_SIZE;
}

/** Whether a file begins as LUKS headers do, and which version it says it is. */
export function luksVersion(bytes: Uint8Array): number | undefined {
  if (bytes.length < FIELD.version + 2 || MAGIC.some((byte, index) => bytes[index] !== byte)) return undefined;
  return bytes[FIELD.version]! * 256 + bytes[FIELD.version + 1]!;
}

/**
 * Decodes a header and checks everything that it says about itself.
 *
 * @param bytes of the header, 592 at least
 * @param areaBytes bytes of the place where header and key material are
 * @param detached the encrypted disk is in another place: where it begins has nothing to do with the key material
 * @throws BlockError `corrupt`, naming the field; `unsupported` for version 2, ciphers and hashes that are not known
 */
export function decodeHeader(bytes: Uint8Array, areaBytes: number, detached = false): LuksHeader {
  if (bytes.length < HEADER_BYTES || areaBytes < HEADER_BYTES) {
    throw new BlockError('corrupt', `A LUKS header has ${HEADER_BYTES} bytes, this one is cut off`);
  }
  const version = luksVersion(bytes);
  if (version === undefined) throw new BlockError('corrupt', "This is no LUKS header: it does not begin with 'LUKS'");
  if (version !== 1) {
    throw new BlockError('unsupported', `LUKS version ${version} is not supported; version 1 is`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  const keyBytes = view.getUint32(FIELD.keyBytes);
  const cipher = parseCipher(text(bytes, 'cipherName'), text(bytes, 'cipherMode'), keyBytes);
  const header: LuksHeader = {
    cipher,
    hash: parseHash(text(bytes, 'hashSpec')),
    payloadOffset: view.getUint32(FIELD.payloadOffset) * SECTOR_SIZE,
    keyBytes,
    keyDigest: bytes.slice(FIELD.keyDigest, FIELD.keyDigest + DIGEST_BYTES),
    keyDigestSalt: bytes.slice(FIELD.keyDigestSalt, FIELD.keyDigestSalt + SALT_BYTES),
    keyDigestIterations: iterations(view.getUint32(FIELD.keyDigestIterations), 'mk-digest-iterations'),
    uuid: text(bytes, 'uuid', UUID_BYTES),
    slots: Array.from({ length: KEY_SLOTS }, (_, index) => decodeSlot(bytes, view, index)),
  };
  checkPlaces(header, areaBytes, detached);
  return header;
}

function text(bytes: Uint8Array, field: keyof typeof FIELD, length = NAME_BYTES): string {
  return textField(bytes, FIELD[field], length, field);
}

/** A text that ends with a zero. @throws BlockError `corrupt` when it does not end */
export function textField(bytes: Uint8Array, at: number, length: number, field: string): string {
  const all = bytes.subarray(at, at + length);
  const end = all.indexOf(0);
  if (end < 0) throw new BlockError('corrupt', `LUKS header field '${field}' does not end within its ${length} bytes`);
  return new TextDecoder().decode(all.subarray(0, end));
}

function iterations(count: number, field: string): number {
  if (count >= 1 && count <= MAX_ITERATIONS) return count;
  throw wrong(field, count, `between 1 and ${MAX_ITERATIONS}: more than that would take minutes`);
}

function decodeSlot(bytes: Uint8Array, view: DataView, index: number): KeySlot {
  const at = FIELD.keySlots + index * KEY_SLOT_BYTES;
  const state = view.getUint32(at + SLOT_FIELD.active);
  if (state !== SLOT_ACTIVE && state !== SLOT_INACTIVE) {
    throw wrong(`active of key slot ${index}`, state, `${SLOT_ACTIVE} (active) or ${SLOT_INACTIVE} (inactive)`);
  }
  const stripes = view.getUint32(at + SLOT_FIELD.stripes);
  if (stripes !== STRIPES) throw wrong(`stripes of key slot ${index}`, stripes, `${STRIPES}`);
  const active = state === SLOT_ACTIVE;
  const count = view.getUint32(at + SLOT_FIELD.iterations);
  return {
    active,
    iterations: active ? iterations(count, `iterations of key slot ${index}`) : 0,
    salt: bytes.slice(at + SLOT_FIELD.salt, at + SLOT_FIELD.salt + SALT_BYTES),
    keyOffset: view.getUint32(at + SLOT_FIELD.keyOffset) * SECTOR_SIZE,
    stripes,
  };
}

/** Nothing may lie on anything else: changing one key slot would destroy another, or the disk. */
function checkPlaces({ slots, keyBytes, payloadOffset }: LuksHeader, areaBytes: number, detached: boolean): void {
  const material = keyMaterialBytes(keyBytes);
  if (!detached && payloadOffset < HEADER_BYTES) throw wrong('payload-offset', payloadOffset, 'behind the header');
  const limit = detached ? areaBytes : Math.min(areaBytes, payloadOffset);
  for (const [index, { keyOffset }] of slots.entries()) {
    if (keyOffset < HEADER_BYTES || keyOffset + material > limit) {
      throw wrong(
        `key-material-offset of key slot ${index}`,
        keyOffset,
        `such that ${material} bytes of key material lie between the header and ${limit}`,
      );
    }
    const other = slots.findIndex(
      (slot, at) => at < index && slot.keyOffset < keyOffset + material && keyOffset < slot.keyOffset + material,
    );
    if (other >= 0) throw new BlockError('corrupt', `The LUKS key slots ${other} and ${index} overlap`);
  }
}

function wrong(field: string, value: number, wanted: string): BlockError {
  return new BlockError('corrupt', `LUKS header field '${field}' is ${value}; it must be ${wanted}`);
}

/** Encodes a header. */
export function encodeHeader(header: LuksHeader): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  const put = (value: string, at: number): void => bytes.set(new TextEncoder().encode(value), at);
  bytes.set(MAGIC, FIELD.magic);
  view.setUint16(FIELD.version, 1);
  put('aes', FIELD.cipherName);
  put(cipherModeText(header.cipher), FIELD.cipherMode);
  put(header.hash, FIELD.hashSpec);
  view.setUint32(FIELD.payloadOffset, header.payloadOffset / SECTOR_SIZE);
  view.setUint32(FIELD.keyBytes, header.keyBytes);
  bytes.set(header.keyDigest, FIELD.keyDigest);
  bytes.set(header.keyDigestSalt, FIELD.keyDigestSalt);
  view.setUint32(FIELD.keyDigestIterations, header.keyDigestIterations);
  put(header.uuid, FIELD.uuid);
  for (const [index, slot] of header.slots.entries()) {
    const at = FIELD.keySlots + index * KEY_SLOT_BYTES;
    view.setUint32(at + SLOT_FIELD.active, slot.active ? SLOT_ACTIVE : SLOT_INACTIVE);
    view.setUint32(at + SLOT_FIELD.iterations, slot.iterations);
    bytes.set(slot.salt, at + SLOT_FIELD.salt);
    view.setUint32(at + SLOT_FIELD.keyOffset, slot.keyOffset / SECTOR_SIZE);
    view.setUint32(at + SLOT_FIELD.stripes, slot.stripes);
  }
  return bytes;
}

/** What `info` shows, with QEMU's key names. Source: QEMU, QCryptoBlockInfoLUKS. */
export function luksInfo(header: LuksHeader): Record<string, unknown> {
  const { algorithm, mode, ivGenerator, ivHash } = header.cipher;
  return {
    'ivgen-alg': ivGenerator,
    ...(ivHash === undefined ? {} : { 'ivgen-hash-alg': ivHash }),
    'hash-alg': header.hash,
    'cipher-alg': algorithm,
    uuid: header.uuid,
    'cipher-mode': mode,
    slots: header.slots.map(({ active, iterations: iters, keyOffset, stripes }) => ({
      active,
      ...(active ? { iters } : {}),
      'key-offset': keyOffset,
      ...(active ? { stripes } : {}),
    })),
    'payload-offset': header.payloadOffset,
    'master-key-iters': header.keyDigestIterations,
  };
}

/**
 * What the JSON of a LUKS2 header says, as a value. All of it is checked for its form here; whether the volume can be opened is
 * asked later (`segment.ts`, `key-slots.ts`), so that one that cannot is shown all the same.
 *
 * Source: LUKS2 On-Disk Format Specification, version 1.1.3, section 3.
 */
import { BlockError } from '../../error.ts';
import { JsonValue } from './json-value.ts';
import {
  MAX_DIGESTS,
  MAX_KEY_BYTES,
  MAX_KEY_SLOTS,
  MAX_NAMES,
  MAX_SALT_BYTES,
  MAX_SEGMENTS,
  MAX_TOKENS,
  MIN_SALT_BYTES,
  PRIORITY_IGNORE,
  PRIORITY_NORMAL,
  PRIORITY_PREFER,
  SECTOR_SIZES,
} from './layout.ts';

/** How a passphrase becomes the key of a slot. */
export type Kdf =
  | { readonly type: 'pbkdf2'; readonly hash: string; readonly iterations: number; readonly salt: Uint8Array }
  | {
      readonly type: 'argon2i' | 'argon2id';
      readonly passes: number;
      readonly memoryKiB: number;
      readonly lanes: number;
      readonly salt: Uint8Array;
    }
  /** One that is not known here. */
  | { readonly type: 'unknown'; readonly name: string };

/** What only slots of type `luks2` have: those that a passphrase opens. */
export interface PassphraseSlot {
  readonly kdf: Kdf;
  /** Of the anti-forensic splitter. */
  readonly splitHash: string;
  readonly stripes: number;
  /** Bytes from the start of the header to the key material, and of the place that it has. */
  readonly offset: number;
  readonly length: number;
  /** How the key material is encrypted: `aes-xts-plain64`, and bytes of that key. */
  readonly encryption: string;
  readonly areaKeyBytes: number;
}

export interface Luks2KeySlot {
  readonly type: string;
  /** Bytes of the key in it. */
  readonly keyBytes: number;
  readonly priority: number;
  readonly content: PassphraseSlot | undefined;
}

/** What only segments of type `crypt` have. */
export interface CryptSegment {
  readonly encryption: string;
  readonly sectorSize: number;
  /** Number that the vector of the first sector is counted from, in sectors of 512 bytes. */
  readonly ivTweak: number;
  /** The kind of authentication, where there is one: `hmac(sha256)`. */
  readonly integrity: string | undefined;
}

export interface Luks2Segment {
  readonly type: string;
  /** Bytes from the start of the file that has the disk. */
  readonly offset: number;
  /** Bytes; undefined: to the end of the file. */
  readonly size: number | undefined;
  readonly flags: readonly string[];
  readonly crypt: CryptSegment | undefined;
}

/** How a key is known to be the right one. */
export interface Luks2Digest {
  readonly type: string;
  readonly keySlots: readonly number[];
  readonly segments: readonly number[];
  /** Of type `pbkdf2` only. */
  readonly check:
    | { readonly hash: string; readonly iterations: number; readonly salt: Uint8Array; readonly digest: Uint8Array }
    | undefined;
}

/** What else opens slots (a TPM, a token of systemd's). Its content is nobody's business here. */
export interface Luks2Token {
  readonly type: string;
  readonly keySlots: readonly number[];
}

export interface Luks2Metadata {
  readonly keySlots: ReadonlyMap<number, Luks2KeySlot>;
  readonly segments: ReadonlyMap<number, Luks2Segment>;
  readonly digests: ReadonlyMap<number, Luks2Digest>;
  readonly tokens: ReadonlyMap<number, Luks2Token>;
  /** Bytes for key material behind both headers. */
  readonly keySlotsBytes: number;
  readonly flags: readonly string[];
  /** What whoever opens the volume must know of. */
  readonly requirements: readonly string[];
}

/**
 * @param json what `JSON.parse` gave
 * @param headerBytes of a header with its JSON
 * @throws BlockError `corrupt`, saying where and what must be there
 */
export function decodeMetadata(json: unknown, headerBytes: number): Luks2Metadata {
  const root = new JsonValue(json, '');
  const config = root.field('config');
  const keySlotsBytes = config.field('keyslots_size').decimal();
  const areas = { start: 2 * headerBytes, end: 2 * headerBytes + keySlotsBytes };
  return {
    keySlots: mapped(root.field('keyslots'), MAX_KEY_SLOTS, (value) => decodeKeySlot(value, areas)),
    segments: mapped(root.field('segments'), MAX_SEGMENTS, decodeSegment),
    digests: mapped(root.field('digests'), MAX_DIGESTS, decodeDigest),
    tokens: mapped(root.field('tokens'), MAX_TOKENS, (token) => ({
      type: token.field('type').text(),
      keySlots: numbers(token.field('keyslots'), MAX_KEY_SLOTS),
    })),
    keySlotsBytes,
    flags: names(config.optional('flags')),
    requirements: names(config.optional('requirements')?.optional('mandatory')),
  };
}

function mapped<T>(objects: JsonValue, count: number, decode: (value: JsonValue) => T): ReadonlyMap<number, T> {
  return new Map([...objects.numbered(count)].map(([number, value]) => [number, decode(value)]));
}

function names(list: JsonValue | undefined): string[] {
  return list === undefined ? [] : list.list(MAX_NAMES).map((name) => name.text());
}

/** Numbers of objects, written as texts. @param count all are below it */
function numbers(list: JsonValue, count: number): number[] {
  return list.list(count).map((item) => {
    const number = item.decimal();
    if (number < count) return number;
    throw new BlockError('corrupt', `The LUKS2 metadata names object ${number}, and all numbers are below ${count}`);
  });
}

interface Areas {
  readonly start: number;
  readonly end: number;
}

function decodeKeySlot(slot: JsonValue, areas: Areas): Luks2KeySlot {
  const type = slot.field('type').text();
  return {
    type,
    keyBytes: slot.field('key_size').integer(1, MAX_KEY_BYTES),
    priority: slot.optional('priority')?.integer(PRIORITY_IGNORE, PRIORITY_PREFER) ?? PRIORITY_NORMAL,
    content: type === 'luks2' ? decodeContent(slot, areas) : undefined,
  };
}

function decodeContent(slot: JsonValue, areas: Areas): PassphraseSlot {
  const area = slot.field('area');
  const split = slot.field('af');
  const offset = area.field('offset').decimal();
  const length = area.field('size').decimal();
  if (offset < areas.start || offset + length > areas.end) {
    throw new BlockError(
      'corrupt',
      `A LUKS2 key slot has its material in ${length} bytes at ${offset}, and must have it between ${areas.start} and ${areas.end}`,
    );
  }
  return {
    kdf: decodeKdf(slot.field('kdf')),
    splitHash: split.field('hash').text(),
    stripes: split.field('stripes').integer(1, 2 ** 32),
    offset,
    length,
    encryption: area.field('encryption').text(),
    areaKeyBytes: area.field('key_size').integer(1, MAX_KEY_BYTES),
  };
}

function decodeKdf(kdf: JsonValue): Kdf {
  const type = kdf.field('type').text();
  const salt = (): Uint8Array => kdf.field('salt').base64(MIN_SALT_BYTES, MAX_SALT_BYTES);
  if (type === 'pbkdf2') {
    const iterations = kdf.field('iterations').integer(1, 2 ** 32);
    return { type, hash: kdf.field('hash').text(), iterations, salt: salt() };
  }
  if (type !== 'argon2i' && type !== 'argon2id') return { type: 'unknown', name: type };
  return {
    type,
    passes: kdf.field('time').integer(1, 2 ** 32),
    memoryKiB: kdf.field('memory').integer(1, 2 ** 32),
    lanes: kdf.field('cpus').integer(1, 2 ** 24),
    salt: salt(),
  };
}

function decodeSegment(segment: JsonValue): Luks2Segment {
  const type = segment.field('type').text();
  const size = segment.field('size');
  return {
    type,
    offset: segment.field('offset').decimal(),
    size: size.text() === 'dynamic' ? undefined : size.decimal(),
    flags: names(segment.optional('flags')),
    crypt: type === 'crypt' ? decodeCrypt(segment) : undefined,
  };
}

function decodeCrypt(segment: JsonValue): CryptSegment {
  const sectorSize = segment.field('sector_size').integer(SECTOR_SIZES[0]!, SECTOR_SIZES.at(-1)!);
  if (!SECTOR_SIZES.includes(sectorSize)) {
    throw new BlockError(
      'corrupt',
      `The LUKS2 sector_size is ${sectorSize}; it must be one of ${SECTOR_SIZES.join(', ')}`,
    );
  }
  return {
    encryption: segment.field('encryption').text(),
    sectorSize,
    ivTweak: segment.field('iv_tweak').decimal(),
    integrity: segment.optional('integrity')?.field('type').text(),
  };
}

function decodeDigest(digest: JsonValue): Luks2Digest {
  const type = digest.field('type').text();
  return {
    type,
    keySlots: numbers(digest.field('keyslots'), MAX_KEY_SLOTS),
    segments: numbers(digest.field('segments'), MAX_SEGMENTS),
    check:
      type !== 'pbkdf2'
        ? undefined
        : {
            hash: digest.field('hash').text(),
            iterations: digest.field('iterations').integer(1, 2 ** 32),
            salt: digest.field('salt').base64(MIN_SALT_BYTES, MAX_SALT_BYTES),
            digest: digest.field('digest').base64(MIN_SALT_BYTES, MAX_SALT_BYTES),
          },
  };
}

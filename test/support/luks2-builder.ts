/**
 * LUKS2 images made by hand, as small as they can be: this project writes none. The disk is encrypted by Node's own XTS, with vectors
 * counted here. test/interop/cryptsetup.test.ts has those that cryptsetup makes.
 */
import { createCipheriv } from 'node:crypto';
import { argon2 } from '../../src/codec/argon2.ts';
import { pbkdf2 } from '../../src/codec/pbkdf2.ts';
import { splitKey } from '../../src/block/crypto/luks/split.ts';
import { checksumOf } from '../../src/block/crypto/luks2/binary-header.ts';
import { BINARY_BYTES, FIELD, HEADER_SIZES, MAGICS } from '../../src/block/crypto/luks2/layout.ts';
import { SectorCipher } from '../../src/block/crypto/sector-cipher.ts';
import { TEST_PASSPHRASE } from './driver-contexts.ts';
import type { ImageBytes } from './image-bytes.ts';
import { patternedBytes } from './random.ts';

export const HEADER_BYTES = HEADER_SIZES[0]!;
/** 128 bits for the cipher, and as many for the tweaks. */
const KEY_BYTES = 32;
const AREA_BYTES = 131_072;
const SALT = patternedBytes(9, 0, 32);

export type BuiltKdf = 'pbkdf2' | 'argon2i' | 'argon2id';

export interface BuiltSlot {
  readonly kdf: BuiltKdf;
  readonly passphrase?: Uint8Array;
  readonly priority?: number;
}

export interface Luks2Shape {
  readonly slots?: readonly BuiltSlot[];
  readonly sectorSize?: number;
  readonly ivTweak?: number;
  /** What the disk holds, whole sectors. */
  readonly content?: Uint8Array;
  /** Changes the JSON before it is written. */
  readonly change?: (json: Luks2Json) => void;
}

/** As JSON has it: whatever a test wants to put there. */
// oxlint-disable-next-line typescript/no-explicit-any -- tests damage any field of it, whatever its type
export type Luks2Json = any;

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

const COSTS = {
  pbkdf2: { type: 'pbkdf2', hash: 'sha256', iterations: 1000 },
  argon2i: { type: 'argon2i', time: 4, memory: 32, cpus: 1 },
  argon2id: { type: 'argon2id', time: 4, memory: 32, cpus: 2 },
} as const;

async function slotKey(kdf: BuiltKdf, passphrase: Uint8Array): Promise<Uint8Array> {
  if (kdf === 'pbkdf2') return pbkdf2('sha256', passphrase, SALT, COSTS.pbkdf2.iterations, KEY_BYTES);
  const { time, memory, cpus } = COSTS[kdf];
  return argon2(kdf, passphrase, SALT, { passes: time, memoryKiB: memory, lanes: cpus }, KEY_BYTES);
}

/** Sectors are numbered in units of 512 bytes, however large they are. */
export function encryptXts(key: Uint8Array, data: Uint8Array, sectorSize: number, ivTweak: number): Uint8Array {
  const encrypted = new Uint8Array(data.length);
  for (let at = 0; at < data.length; at += sectorSize) {
    const iv = Buffer.alloc(16);
    iv.writeBigUInt64LE(BigInt(ivTweak + at / 512));
    const cipher = createCipheriv(key.length === 32 ? 'aes-128-xts' : 'aes-256-xts', key, iv);
    encrypted.set(cipher.update(data.subarray(at, at + sectorSize)), at);
  }
  return encrypted;
}

export async function buildLuks2(shape: Luks2Shape = {}): Promise<Uint8Array> {
  const { slots = [{ kdf: 'pbkdf2' }], sectorSize = 512, ivTweak = 0, change } = shape;
  const content = shape.content ?? patternedBytes(5, 0, 32 * 1024);
  const key = patternedBytes(4, 0, KEY_BYTES).slice();
  const areas = 2 * HEADER_BYTES;
  const disk = areas + slots.length * AREA_BYTES;
  const image = new Uint8Array(disk + content.length);
  const numbers = slots.map((_, index) => String(index));
  const json: Luks2Json = {
    keyslots: Object.fromEntries(
      slots.map(({ kdf, priority }, index) => [
        String(index),
        {
          type: 'luks2',
          key_size: KEY_BYTES,
          ...(priority === undefined ? {} : { priority }),
          af: { type: 'luks1', stripes: 4000, hash: 'sha256' },
          area: {
            type: 'raw',
            offset: String(areas + index * AREA_BYTES),
            size: String(AREA_BYTES),
            encryption: 'aes-xts-plain64',
            key_size: KEY_BYTES,
          },
          kdf: { ...COSTS[kdf], salt: base64(SALT) },
        },
      ]),
    ),
    tokens: { '0': { type: 'systemd-tpm2', keyslots: ['0'], 'tpm2-blob': 'bm90aGluZw==' } },
    segments: {
      '0': {
        type: 'crypt',
        offset: String(disk),
        size: 'dynamic',
        iv_tweak: String(ivTweak),
        encryption: 'aes-xts-plain64',
        sector_size: sectorSize,
      },
    },
    digests: {
      '0': {
        type: 'pbkdf2',
        keyslots: numbers,
        segments: ['0'],
        hash: 'sha256',
        iterations: 1000,
        salt: base64(SALT),
        digest: base64(await pbkdf2('sha256', key, SALT, 1000, 32)),
      },
    },
    config: { json_size: String(HEADER_BYTES - BINARY_BYTES), keyslots_size: String(slots.length * AREA_BYTES) },
  };
  for (const [index, { kdf, passphrase = TEST_PASSPHRASE }] of slots.entries()) {
    const stripes = new Uint8Array(AREA_BYTES);
    stripes.set(splitKey(key, 'sha256', (bytes) => bytes.set(patternedBytes(6 + index, 0, bytes.length))));
    const spec = { algorithm: 'aes-128', mode: 'xts', ivGenerator: 'plain64', ivHash: undefined } as const;
    new SectorCipher(spec, await slotKey(kdf, passphrase)).encrypt(0, stripes);
    image.set(stripes, areas + index * AREA_BYTES);
  }
  change?.(json);
  writeHeader(image, 'primary', json, 3);
  writeHeader(image, 'secondary', json, 3);
  image.set(encryptXts(key, content, sectorSize, ivTweak), disk);
  return image;
}

/** Writes one header whole, with its checksum. */
export function writeHeader(image: Uint8Array, name: 'primary' | 'secondary', json: unknown, sequence: number): void {
  const offset = name === 'primary' ? 0 : HEADER_BYTES;
  const bytes = image.subarray(offset, offset + HEADER_BYTES);
  bytes.fill(0);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = (at: number, words: string): void => bytes.set(new TextEncoder().encode(words), at);
  bytes.set(MAGICS[name]);
  view.setUint16(FIELD.version, 2);
  view.setBigUint64(FIELD.headerBytes, BigInt(HEADER_BYTES));
  view.setBigUint64(FIELD.sequence, BigInt(sequence));
  text(FIELD.label, 'a label');
  text(FIELD.checksumAlgorithm, 'sha256');
  text(FIELD.uuid, '00112233-4455-6677-8899-aabbccddeeff');
  view.setBigUint64(FIELD.offset, BigInt(offset));
  text(BINARY_BYTES, JSON.stringify(json));
  mendChecksum(bytes);
}

/** Makes the checksums of both headers right. Of an image that was cut off, of those that are left. */
export function mendLuks2(image: ImageBytes): void {
  const header = new Uint8Array(HEADER_BYTES);
  for (const offset of [0, HEADER_BYTES]) {
    if (offset + HEADER_BYTES > image.length) continue;
    image.read(offset, header);
    mendChecksum(header);
    image.write(offset, header);
  }
}

function mendChecksum(header: Uint8Array): void {
  header.set(checksumOf(header, 'sha256'), FIELD.checksum);
}

/** Where its metadata is. */
export const luks2Places = [0, HEADER_BYTES].flatMap((offset) => [
  { offset, length: 512 },
  { offset: offset + BINARY_BYTES, length: 1200 },
]);

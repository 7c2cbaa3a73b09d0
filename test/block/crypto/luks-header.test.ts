import { describe, expect, it, test } from 'vitest';
import { startAsync } from '../../../src/block/co.ts';
import { luks } from '../../../src/block/format/luks/driver.ts';
import { decodeHeader, encodeHeader } from '../../../src/block/crypto/luks/header.ts';
import { keyOfSlot, unlock } from '../../../src/block/crypto/luks/key-slots.ts';
import { FIELD, HEADER_BYTES, KEY_SLOT_BYTES, SLOT_FIELD } from '../../../src/block/crypto/luks/layout.ts';
import { mergeKey, splitKey } from '../../../src/block/crypto/luks/split.ts';
import { BlockError } from '../../../src/block/error.ts';
import { TEST_SECRET } from '../../support/driver-contexts.ts';
import { patternedBytes } from '../../support/random.ts';
import { makeImage, openDisk } from '../../support/scenario.ts';
import { SimulatedStorage } from '../../support/simulated-storage.ts';
import { StorageChild } from '../../support/storage-child.ts';

const AREA = 2_068_480;

const image = makeImage(luks, { size: 4096, 'key-secret': TEST_SECRET, 'iter-time': 1 });

async function header(change: (view: DataView, bytes: Uint8Array) => void = () => undefined): Promise<Uint8Array> {
  const bytes = new Uint8Array(HEADER_BYTES);
  (await image).read(0, bytes);
  change(new DataView(bytes.buffer), bytes);
  return bytes;
}

const slot = (index: number, field: keyof typeof SLOT_FIELD): number =>
  FIELD.keySlots + index * KEY_SLOT_BYTES + SLOT_FIELD[field];

const text = (bytes: Uint8Array, at: number, value: string): void => {
  bytes.fill(0, at, at + 32);
  bytes.set(new TextEncoder().encode(value), at);
};

describe('a LUKS header', () => {
  it('is written as it was read', async () => {
    const bytes = await header();
    expect(encodeHeader(decodeHeader(bytes, AREA))).toEqual(bytes);
  });

  test.each<[string, (view: DataView, bytes: Uint8Array) => void, string, RegExp]>([
    ['magic', (view) => view.setUint8(0, 0x4d), 'corrupt', /begin with 'LUKS'/],
    ['version 2', (view) => view.setUint16(6, 2), 'unsupported', /LUKS version 2/],
    ['cipher', (_, bytes) => text(bytes, FIELD.cipherName, 'serpent'), 'unsupported', /cipher 'serpent'/],
    [
      'cipher without an end',
      (_, bytes) => bytes.fill(65, FIELD.cipherName, FIELD.cipherName + 32),
      'corrupt',
      /'cipherName'/,
    ],
    ['mode', (_, bytes) => text(bytes, FIELD.cipherMode, 'lrw-benbi'), 'unsupported', /'lrw-benbi'/],
    ['generator', (_, bytes) => text(bytes, FIELD.cipherMode, 'cbc-null'), 'unsupported', /'cbc-null'/],
    ['hash of essiv', (_, bytes) => text(bytes, FIELD.cipherMode, 'xts-essiv:tiger'), 'unsupported', /hash 'tiger'/],
    ['hash', (_, bytes) => text(bytes, FIELD.hashSpec, 'whirlpool\u0007'), 'unsupported', /hash 'whirlpool'/],
    ['key length', (view) => view.setUint32(FIELD.keyBytes, 2 ** 31), 'corrupt', /key of 2147483648 bytes/],
    ['key of no bytes', (view) => view.setUint32(FIELD.keyBytes, 0), 'corrupt', /key of 0 bytes/],
    ['payload', (view) => view.setUint32(FIELD.payloadOffset, 0), 'corrupt', /'payload-offset' is 0/],
    [
      'digest iterations',
      (view) => view.setUint32(FIELD.keyDigestIterations, 2 ** 32 - 1),
      'corrupt',
      /mk-digest-iterations/,
    ],
    ['no digest iterations', (view) => view.setUint32(FIELD.keyDigestIterations, 0), 'corrupt', /mk-digest-iterations/],
    ['slot state', (view) => view.setUint32(slot(3, 'active'), 1), 'corrupt', /active of key slot 3/],
    [
      'slot iterations',
      (view) => view.setUint32(slot(0, 'iterations'), 2 ** 31),
      'corrupt',
      /iterations of key slot 0/,
    ],
    ['stripes', (view) => view.setUint32(slot(2, 'stripes'), 2 ** 32 - 1), 'corrupt', /stripes of key slot 2/],
    ['slot on the header', (view) => view.setUint32(slot(1, 'keyOffset'), 1), 'corrupt', /key slot 1/],
    ['slot in the disk', (view) => view.setUint32(slot(7, 'keyOffset'), 2 ** 32 - 1), 'corrupt', /key slot 7/],
    [
      'slots on one another',
      (view) => view.setUint32(slot(4, 'keyOffset'), 16),
      'corrupt',
      /key slots 0 and 4 overlap/,
    ],
  ])('is refused for its %s', async (_what, change, kind, message) => {
    const bytes = await header(change);
    try {
      decodeHeader(bytes, AREA);
    } catch (error) {
      expect(error).toBeInstanceOf(BlockError);
      expect((error as BlockError).kind).toBe(kind);
      expect((error as BlockError).message).toMatch(message);
      // Names out of an image may hold anything.
      expect((error as BlockError).message).not.toMatch(/\p{C}/u);
      return;
    }
    throw new Error('the header was accepted');
  });

  it('that is cut off is refused', async () => {
    const bytes = await header();
    expect(() => decodeHeader(bytes.subarray(0, 500), AREA)).toThrow(/cut off/);
  });
});

it('stripes give the key back, and none of them can be missing', () => {
  const key = patternedBytes(1, 0, 64).slice();
  const stripes = splitKey(key, 'sha1', (bytes) => bytes.fill(7));
  expect(mergeKey(stripes, 64, 'sha1')).toEqual(key);
  stripes[1000]! ^= 1;
  expect(mergeKey(stripes, 64, 'sha1')).not.toEqual(key);
});

it('a wrong passphrase has an error of its own, and is in none', async () => {
  const content = await image;
  const file = new StorageChild(new SimulatedStorage({ initial: content }), content.length);
  const decoded = decodeHeader(await header(), AREA);
  const wrong = new TextEncoder().encode('hunter2');
  await expect(startAsync(unlock(file, decoded, wrong))).rejects.toMatchObject({ kind: 'wrong-passphrase' });
  expect(await startAsync(keyOfSlot(file, decoded, 1, wrong))).toBeUndefined();
});

it('without a passphrase an image is looked at, and its data is refused', async () => {
  const storage = new SimulatedStorage({ initial: await image });
  await expect(openDisk(luks, storage, { 'read-only': true })).rejects.toMatchObject({ kind: 'passphrase-needed' });
});

// Images are made by hand (test/support/luks2-builder.ts); those of cryptsetup are in test/interop/cryptsetup.test.ts.
import { describe, expect, it } from 'vitest';
import { startAsync } from '../../../src/block/co.ts';
import { decodeMetadata } from '../../../src/block/crypto/luks2/metadata.ts';
import { FIELD } from '../../../src/block/crypto/luks2/layout.ts';
import type { BlockError } from '../../../src/block/error.ts';
import { luks } from '../../../src/block/format/luks/driver.ts';
import { amendImage } from '../../../src/block/image/amend.ts';
import { imageInfo } from '../../../src/block/image/info.ts';
import { TEST_PASSPHRASE, TEST_SECRET } from '../../support/driver-contexts.ts';
import {
  buildLuks2,
  encryptXts,
  HEADER_BYTES,
  writeHeader,
  type BuiltSlot,
  type Luks2Json,
  type Luks2Shape,
} from '../../support/luks2-builder.ts';
import { patternedBytes, Random } from '../../support/random.ts';
import { LastingStorage, openDisk } from '../../support/scenario.ts';

const CONTENT = patternedBytes(5, 0, 32 * 1024);
const OTHER = new TextEncoder().encode('another passphrase');

async function opened(bytes: Uint8Array) {
  const storage = new LastingStorage({ initial: bytes });
  return { storage, ...(await openDisk(luks, storage, { 'key-secret': TEST_SECRET })) };
}

/** What the disk of an image holds. */
async function contentOf(bytes: Uint8Array): Promise<Uint8Array> {
  const { graph, disk } = await opened(bytes);
  const content = new Uint8Array(disk.length);
  await disk.read(0, content);
  await graph.close(disk);
  return content;
}

const same = (found: Uint8Array): void => expect(Buffer.compare(found, CONTENT)).toBe(0);

const failing = async (shape: Luks2Shape): Promise<BlockError> =>
  contentOf(await buildLuks2(shape)).then(
    () => Promise.reject(new Error('the image was opened')),
    (error: unknown) => error as BlockError,
  );

const changed = (change: (json: Luks2Json) => void): Promise<BlockError> => failing({ change });

/** Opened to be looked at. */
async function specificOf(bytes: Uint8Array): Promise<Luks2Json> {
  const storage = new LastingStorage({ initial: bytes, readOnly: true });
  const { graph, disk } = await openDisk(luks, storage, { 'read-only': true }, undefined, { inspect: true });
  const info = await startAsync(imageInfo(disk.node));
  await graph.close(disk);
  return info['format-specific']?.data;
}

describe('LUKS2', () => {
  it.each<[string, Luks2Shape]>([
    ['pbkdf2', {}],
    ['argon2i', { slots: [{ kdf: 'argon2i' }] }],
    ['argon2id', { slots: [{ kdf: 'argon2id' }] }],
    ['sectors of 4096 bytes', { sectorSize: 4096 }],
    ['sectors of 1024 bytes, and a tweak', { sectorSize: 1024, ivTweak: 123_456_789_012 }],
  ])('opens with %s', async (_name, shape) => {
    same(await contentOf(await buildLuks2(shape)));
  });

  it('writes what dm-crypt would write, in whole sectors', async () => {
    const image = await buildLuks2({ sectorSize: 4096, ivTweak: 7 });
    const { graph, disk, storage } = await opened(image);
    await disk.write(5000, new Uint8Array(100).fill(1));
    await disk.flush();
    await graph.close(disk);
    const expected = CONTENT.slice();
    expected.fill(1, 5000, 5100);
    const at = image.length - CONTENT.length;
    const key = patternedBytes(4, 0, 32);
    const stored = storage.content.toBytes();
    expect(Buffer.compare(stored.subarray(at), encryptXts(key, expected, 4096, 7))).toBe(0);
    expect(Buffer.compare(stored.subarray(0, at), image.subarray(0, at))).toBe(0);
  });

  it('tries the slots that it can try, and none that is to be ignored', async () => {
    const slots: BuiltSlot[] = [{ kdf: 'pbkdf2', passphrase: OTHER }, { kdf: 'pbkdf2' }];
    same(await contentOf(await buildLuks2({ slots })));
    const tooDear = (json: Luks2Json): void => {
      json.keyslots[0].kdf.iterations = 2 ** 31;
    };
    same(await contentOf(await buildLuks2({ slots, change: tooDear })));
    const only = await failing({
      slots: [
        { kdf: 'pbkdf2', passphrase: OTHER },
        { kdf: 'pbkdf2', priority: 0 },
      ],
    });
    expect(only).toMatchObject({ kind: 'wrong-passphrase' });
    expect(only.message).not.toContain(new TextDecoder().decode(TEST_PASSPHRASE));
    const unbound = await failing({ change: (json) => (json.digests[0].keyslots = []) });
    expect(unbound.kind).toBe('wrong-passphrase');
  });

  it('uses the newer one of its headers that is as it should be', async () => {
    const image = await buildLuks2();
    const json = JSON.parse(new TextDecoder().decode(image.subarray(4096, image.indexOf(0, 4096))));
    // An older one, whatever it says.
    writeHeader(image, 'secondary', { ...json, digests: {} }, 2);
    same(await contentOf(image));
    writeHeader(image, 'primary', { ...json, digests: {} }, 1);
    writeHeader(image, 'secondary', json, 2);
    same(await contentOf(image));
    // One that is broken, and one that is gone.
    image[FIELD.uuid]! ^= 1;
    same(await contentOf(image));
    image.fill(0, 0, HEADER_BYTES);
    same(await contentOf(image));
    expect((await specificOf(image)).headers).toMatchObject([
      { header: 'primary', valid: false, problem: expect.stringMatching(/does not begin/) as string },
      { header: 'secondary', valid: true, offset: HEADER_BYTES, 'sequence-id': 2 },
    ]);
    image[HEADER_BYTES + FIELD.uuid]! ^= 1;
    await expect(contentOf(image)).rejects.toMatchObject({ kind: 'corrupt' });
  });

  it.each<[string, (json: Luks2Json) => void, string, RegExp]>([
    [
      'reencryption',
      (json) => (json.config.requirements = { mandatory: ['online-reencrypt-v2'] }),
      'unsupported',
      /anew/,
    ],
    [
      'an unknown requirement',
      (json) => (json.config.requirements = { mandatory: ['x\u0007y'] }),
      'unsupported',
      /requirement xy/,
    ],
    [
      'authentication',
      (json) =>
        (json.segments[0].integrity = { type: 'hmac(sha256)', journal_encryption: 'none', journal_integrity: 'none' }),
      'unsupported',
      /integrity 'hmac\(sha256\)'/,
    ],
    ['a linear segment', (json) => (json.segments[0].type = 'linear'), 'unsupported', /'linear'/],
    ['several segments', (json) => (json.segments[1] = json.segments[0]), 'unsupported', /2 segments/],
    ['no segment', (json) => (json.segments = {}), 'unsupported', /no segment/],
    ['another cipher', (json) => (json.segments[0].encryption = 'serpent-xts-plain64'), 'unsupported', /'serpent'/],
    ['a cipher without a mode', (json) => (json.segments[0].encryption = 'aes'), 'unsupported', /mode ''/],
    ['a detached header', (json) => (json.segments[0].offset = '0'), 'corrupt', /option 'header'/],
    ['a disk on its header', (json) => (json.segments[0].offset = '4096'), 'corrupt', /inside of its header/],
    [
      'a disk in the middle of a sector',
      (json) => (json.segments[0].offset = '1000001'),
      'corrupt',
      /no multiple of 512/,
    ],
    ['a disk behind the file', (json) => (json.segments[0].offset = '9007199254740480'), 'corrupt', /cut off/],
    ['a disk longer than its file', (json) => (json.segments[0].size = '1048576'), 'corrupt', /cut off/],
    ['a size that is no number', (json) => (json.segments[0].size = '1e3'), 'corrupt', /segments\.0\.size/],
    ['a sector size', (json) => (json.segments[0].sector_size = 1536), 'corrupt', /sector_size/],
    [
      'too much memory',
      (json) => Object.assign(json.keyslots[0].kdf, { type: 'argon2id', time: 4, memory: 2 ** 21, cpus: 4 }),
      'unsupported',
      /2048 MiB of memory/,
    ],
    [
      'too many passes',
      (json) => Object.assign(json.keyslots[0].kdf, { type: 'argon2id', time: 2 ** 20, memory: 1024, cpus: 4 }),
      'unsupported',
      /passes over 1 MiB/,
    ],
    [
      'lanes without memory',
      (json) => Object.assign(json.keyslots[0].kdf, { type: 'argon2i', time: 4, memory: 8, cpus: 4 }),
      'unsupported',
      /4 lanes in 8 KiB/,
    ],
    ['an unknown derivation', (json) => (json.keyslots[0].kdf.type = 'scrypt'), 'unsupported', /'scrypt'/],
    ['other stripes', (json) => (json.keyslots[0].af.stripes = 4), 'unsupported', /4 stripes/],
    ['a token’s slots', (json) => (json.tokens[0].keyslots = ['99']), 'corrupt', /object 99/],
    ['key material in the header', (json) => (json.keyslots[0].area.offset = '0'), 'corrupt', /0, and must have it/],
    ['a missing member', (json) => delete json.keyslots[0].af, 'corrupt', /lacks 'keyslots\.0\.af'/],
    ['a slot’s name', (json) => (json.keyslots['32'] = json.keyslots[0]), 'corrupt', /below 32/],
  ])('refuses by name: %s', async (_name, change, kind, message) => {
    const error = await changed(change);
    expect(error).toMatchObject({ name: 'BlockError', kind });
    expect(error.message).toMatch(message);
    expect(error.message).not.toMatch(/\p{C}/u);
  });

  it('is shown with what a user wants to know, and no secrets', async () => {
    const image = await buildLuks2({ slots: [{ kdf: 'argon2id' }, { kdf: 'pbkdf2', priority: 2 }], sectorSize: 4096 });
    const specific = await specificOf(image);
    expect(specific).toMatchObject({
      version: 2,
      label: 'a label',
      uuid: '00112233-4455-6677-8899-aabbccddeeff',
      headers: [
        { valid: true, offset: 0 },
        { valid: true, offset: HEADER_BYTES },
      ],
      segments: [{ segment: 0, type: 'crypt', cipher: 'aes-xts-plain64', 'sector-size': 4096, size: 'dynamic' }],
      slots: [
        { slot: 0, kdf: 'argon2id', time: 4, memory: 32_768, threads: 2, 'key-bits': 256, priority: 'normal' },
        { slot: 1, kdf: 'pbkdf2', iters: 1000, 'hash-alg': 'sha256', priority: 'prefer' },
      ],
      tokens: [{ token: 0, type: 'systemd-tpm2', slots: [0] }],
      digests: [{ digest: 0, type: 'pbkdf2', iters: 1000, slots: [0, 1], segments: [0] }],
    });
    expect(specific).not.toHaveProperty('problem');
    expect(JSON.stringify(specific)).not.toContain('bm90aGluZw');
  });

  it('is shown when it cannot be opened, with the reason', async () => {
    const requirements = { mandatory: ['offline-reencrypt'] };
    const image = await buildLuks2({ change: (json) => (json.config.requirements = requirements) });
    expect(await specificOf(image)).toMatchObject({
      requirements: ['offline-reencrypt'],
      problem: expect.stringMatching(/encrypted anew/) as string,
    });
  });

  it('is a disk like any other, whatever its sectors and the requests', async () => {
    const random = new Random(7);
    const { graph, disk } = await opened(await buildLuks2({ sectorSize: 4096 }));
    const model = CONTENT.slice();
    for (let round = 1; round <= 80; round++) {
      const offset = random.below(model.length);
      const length = random.between(1, Math.min(9000, model.length - offset));
      const kind = random.pick(['read', 'write', 'zero']);
      if (kind === 'write') await disk.write(offset, patternedBytes(round, offset, length).slice());
      else if (kind === 'zero') await disk.writeZeroes(offset, length);
      const found = new Uint8Array(length);
      if (kind === 'write') model.set(patternedBytes(round, offset, length), offset);
      else if (kind === 'zero') model.fill(0, offset, offset + length);
      await disk.read(offset, found);
      expect(Buffer.compare(found, model.subarray(offset, offset + length)), `round ${round}: ${kind}`).toBe(0);
    }
    await graph.close(disk);
  });

  it('changes its size by whole sectors, and not where its header says the size', async () => {
    const { graph, disk } = await opened(await buildLuks2({ sectorSize: 4096 }));
    await disk.resize(CONTENT.length + 8192);
    expect(disk.length).toBe(CONTENT.length + 8192);
    await expect(async () => disk.resize(CONTENT.length + 512)).rejects.toMatchObject({ kind: 'invalid' });
    await graph.close(disk);
    const fixed = (json: Luks2Json): void => {
      json.segments[0].size = '8192';
    };
    const other = await opened(await buildLuks2({ change: fixed }));
    expect(other.disk.length).toBe(8192);
    await expect(async () => other.disk.resize(16_384)).rejects.toMatchObject({ kind: 'unsupported' });
    await other.graph.close(other.disk);
  });

  it('is not amended, and no other version is opened', async () => {
    const image = await buildLuks2();
    const { graph, disk } = await opened(image);
    const amending = startAsync(amendImage(graph, disk.node, { state: 'inactive', keyslot: 0 }));
    await expect(amending).rejects.toThrow(/luksAddKey/);
    await graph.close(disk);
    new DataView(image.buffer).setUint16(FIELD.version, 3);
    await expect(contentOf(image)).rejects.toThrow(/version 3 is not supported/);
  });

  it('is less sure than other formats, and surer than raw', async () => {
    const image = await buildLuks2();
    const score = luks.probe({
      head: image.subarray(0, 4096),
      tail: image.subarray(-4096),
      size: image.length,
      filename: 'a',
    });
    expect(score).toBe(50);
  });

  it('answers JSON of any kind with BlockErrors', async () => {
    const random = new Random(11);
    let json: Luks2Json;
    await buildLuks2({ change: (found) => (json = structuredClone(found)) });
    const values = [
      null,
      true,
      -1,
      0,
      2 ** 53,
      1e300,
      '',
      '0',
      '-1',
      '18446744073709551616',
      'a',
      [],
      {},
      [[]],
      { a: {} },
    ];
    for (let round = 0; round < 500; round++) {
      const hostile = structuredClone(json);
      let at = hostile;
      for (;;) {
        const key = random.pick(Object.keys(at));
        if (typeof at[key] === 'object' && Object.keys(at[key]).length > 0 && random.chance(0.8)) at = at[key];
        else {
          at[key] = random.pick(values);
          break;
        }
      }
      try {
        decodeMetadata(hostile, HEADER_BYTES);
      } catch (error) {
        expect(error).toMatchObject({ name: 'BlockError', kind: 'corrupt' });
      }
    }
  });
});

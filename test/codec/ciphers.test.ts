import { createCipheriv, createHash, pbkdf2Sync } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { aes, useAes } from '../../src/codec/aes.ts';
import { digest, digester, useHashes, type HashName } from '../../src/codec/hashes.ts';
import { ivGenerator } from '../../src/codec/iv-generators.ts';
import { pbkdf2 } from '../../src/codec/pbkdf2.ts';
import { sectorCoder, type SectorMode } from '../../src/codec/sector-modes.ts';
import { nodeAes } from '../../src/node/aes.ts';
import { nodeHashes } from '../../src/node/hashes.ts';
import { patternedBytes } from '../support/random.ts';

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

afterEach(() => {
  useAes(undefined);
  useHashes(undefined);
});

describe.each([
  ['JavaScript', undefined],
  ['Node', nodeAes],
] as const)('AES in %s', (_name, implementation) => {
  test.each([
    // FIPS 197, appendix C.
    ['000102030405060708090a0b0c0d0e0f', '69c4e0d86a7b0430d8cdb78070b4c55a'],
    ['000102030405060708090a0b0c0d0e0f1011121314151617', 'dda97ca4864cdfe06eaf70a0ec0d7191'],
    ['000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f', '8ea2b7ca516745bfeafc49904b496089'],
  ])('with the key %s is what FIPS 197 says', (key, expected) => {
    useAes(implementation);
    const cipher = aes(hex(key));
    const block = hex('00112233445566778899aabbccddeeff');
    cipher.encryptBlocks(block);
    expect(toHex(block)).toBe(expected);
    cipher.decryptBlocks(block);
    expect(toHex(block)).toBe('00112233445566778899aabbccddeeff');
  });

  test.each([
    // IEEE 1619-2007, annex B, vectors 1 to 3: 32 bytes.
    {
      key: '00'.repeat(32),
      iv: '00'.repeat(16),
      plain: '00'.repeat(32),
      cipher: '917cf69ebd68b2ec9b9fe9a3eadda692cd43d2f59598ed858c02c2652fbf922e',
    },
    {
      key: '11'.repeat(16) + '22'.repeat(16),
      iv: '33'.repeat(5) + '00'.repeat(11),
      plain: '44'.repeat(32),
      cipher: 'c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0',
    },
    {
      key: 'fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0' + '22'.repeat(16),
      iv: '33'.repeat(5) + '00'.repeat(11),
      plain: '44'.repeat(32),
      cipher: 'af85336b597afc1a900b2eb21ec949d292df4c047e0b21532186a5971a227a89',
    },
  ])('in XTS is what IEEE 1619 says: key $key', ({ key, iv, plain, cipher }) => {
    useAes(implementation);
    const coder = sectorCoder('xts', hex(key), 32);
    const data = hex(plain);
    coder.encrypt(data, hex(iv));
    expect(toHex(data)).toBe(cipher);
    coder.decrypt(data, hex(iv));
    expect(toHex(data)).toBe(plain);
  });

  const openSsl: Record<SectorMode, (bits: number) => string> = {
    ecb: (bits) => `aes-${bits}-ecb`,
    cbc: (bits) => `aes-${bits}-cbc`,
    ctr: (bits) => `aes-${bits}-ctr`,
    xts: (bits) => `aes-${bits}-xts`,
  };

  it.each([
    ['ecb', 128],
    ['ecb', 192],
    ['cbc', 128],
    ['cbc', 192],
    ['cbc', 256],
    ['ctr', 128],
    ['ctr', 256],
    ['xts', 128],
    ['xts', 256],
  ] as const)('encrypts sectors in %s with %i bits as OpenSSL does, one by one', (mode, bits) => {
    useAes(implementation);
    const key = patternedBytes(7, 0, (bits / 8) * (mode === 'xts' ? 2 : 1));
    const sectors = 5;
    const plain = patternedBytes(9, 0, sectors * 512);
    const ivs = patternedBytes(11, 0, sectors * 16);
    // A counter that overflows from byte to byte.
    ivs.fill(255, 16, 32);
    const coder = sectorCoder(mode, key, 512);
    const data = plain.slice();
    coder.encrypt(data, ivs.slice());
    for (let sector = 0; sector < sectors; sector++) {
      const iv = mode === 'ecb' ? null : ivs.subarray(sector * 16, sector * 16 + 16);
      const cipher = createCipheriv(openSsl[mode](bits), key, iv).setAutoPadding(false);
      const expected = cipher.update(plain.subarray(sector * 512, sector * 512 + 512));
      expect(toHex(data.subarray(sector * 512, sector * 512 + 512))).toBe(toHex(expected));
    }
    coder.decrypt(data, ivs.slice());
    expect(toHex(data)).toBe(toHex(plain));
  });
});

describe('initialisation vectors', () => {
  const key = new Uint8Array(32);
  const ivs = (name: 'plain' | 'plain64' | 'essiv', sector: number): string => {
    const bytes = new Uint8Array(32).fill(0xaa);
    ivGenerator(name, key, 'sha256')(sector, bytes, 1);
    return toHex(bytes);
  };

  it('count sectors, little-endian; plain has only 32 bits', () => {
    expect(ivs('plain64', 0x1_0000_0001)).toBe(`0100000001${'00'.repeat(11)}0200000001${'00'.repeat(11)}`);
    expect(ivs('plain', 0x1_0000_0001)).toBe(`01${'00'.repeat(15)}02${'00'.repeat(15)}`);
    expect(ivs('plain64', 0xffff_ffff)).toBe(`ffffffff${'00'.repeat(12)}0000000001${'00'.repeat(11)}`);
  });

  it('of essiv are the numbers encrypted with the digest of the key', () => {
    const salt = Buffer.from('66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925', 'hex');
    const numbers = Buffer.alloc(32);
    numbers[0] = 5;
    numbers[16] = 6;
    const expected = createCipheriv('aes-256-ecb', salt, null).setAutoPadding(false).update(numbers);
    expect(ivs('essiv', 5)).toBe(toHex(expected));
  });

  it('of essiv need a digest that is a key', () => {
    expect(() => ivGenerator('essiv', key, 'sha1')).toThrow(/key size 20/);
  });
});

describe.each([
  ['JavaScript', undefined],
  ['Node', nodeHashes],
] as const)('digests in %s', (_name, library) => {
  beforeEach(() => useHashes(library));

  it.each(['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512', 'ripemd160'] as const)(
    '%s as OpenSSL has it',
    (name) => {
      const parts = [patternedBytes(1, 0, 200), new Uint8Array(0), patternedBytes(2, 0, 7)];
      const expected = createHash(name).update(Buffer.concat(parts)).digest('hex');
      expect(toHex(digest(name, ...parts))).toBe(expected);
      const again = digester(name);
      const target = new Uint8Array(expected.length / 2);
      for (const _ of parts) {
        again(target, ...parts);
        expect(toHex(target)).toBe(expected);
      }
    },
  );
});

test('a digest that this Node lacks is said to be missing', async () => {
  useHashes(nodeHashes);
  const name = 'whirlpool-of-nothing' as HashName;
  expect(() => nodeHashes.digester(name)(new Uint8Array(1))).toThrow(expect.objectContaining({ kind: 'unsupported' }));
  await expect(
    (async () => await nodeHashes.pbkdf2(name, new Uint8Array(1), new Uint8Array(1), 2 ** 20, 8))(),
  ).rejects.toMatchObject({ kind: 'unsupported' });
});

describe.each([
  ['JavaScript', undefined],
  ['Node', nodeHashes],
] as const)('PBKDF2 in %s', (_name, library) => {
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  beforeEach(() => useHashes(library));

  it.each([
    // RFC 6070.
    ['sha1', 'password', 'salt', 1, 20, '0c60c80f961f0e71f3a9b524af6012062fe037a6'],
    ['sha1', 'password', 'salt', 4096, 20, '4b007901b765489abead49d926f721d065a429c1'],
    [
      'sha1',
      'passwordPASSWORDpassword',
      'saltSALTsaltSALTsaltSALTsaltSALTsalt',
      4096,
      25,
      '3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038',
    ],
    // RFC 7914, section 11.
    [
      'sha256',
      'passwd',
      'salt',
      1,
      64,
      '55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783',
    ],
    [
      'sha256',
      'Password',
      'NaCl',
      80000,
      64,
      '4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d',
    ],
  ] as const)('%s of %s and %s, %i times', async (hash, password, salt, iterations, length, expected) => {
    expect(toHex(await pbkdf2(hash, text(password), text(salt), iterations, length))).toBe(expected);
  });

  it.each(['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512', 'ripemd160'] as const)(
    '%s as OpenSSL does, few times and many',
    async (hash) => {
      for (const iterations of [3, 2500]) {
        const expected = pbkdf2Sync('passphrase', 'salt', iterations, 50, hash);
        expect(toHex(await pbkdf2(hash, text('passphrase'), text('salt'), iterations, 50))).toBe(toHex(expected));
      }
      expect(toHex(await pbkdf2(hash, text(''), text('salt'), 2500, 20))).toBe(
        toHex(pbkdf2Sync('', 'salt', 2500, 20, hash)),
      );
    },
  );
});

import { argon2i, argon2id } from '@noble/hashes/argon2.js';
import { expect, it } from 'vitest';
import { argon2, useArgon2, type Argon2Cost } from '../../src/codec/argon2.ts';
import { nodeArgon2 } from '../../src/node/argon2.ts';

const password = new Uint8Array(32).fill(1);
const salt = new Uint8Array(16).fill(2);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** In JavaScript, by another library. */
function expected(type: 'argon2i' | 'argon2id', secret: Uint8Array, { passes, memoryKiB, lanes }: Argon2Cost): string {
  return hex((type === 'argon2i' ? argon2i : argon2id)(secret, salt, { t: passes, m: memoryKiB, p: lanes, dkLen: 64 }));
}

it('is known by the values of phc-winner-argon2', async () => {
  const text = (words: string) => new TextEncoder().encode(words);
  const cost = { passes: 2, memoryKiB: 256, lanes: 1 };
  expect(hex(await argon2('argon2i', text('password'), text('somesalt'), cost, 32))).toBe(
    '89e9029f4637b295beb027056a7336c414fadd43f6b208645281cb214a56452f',
  );
});

it.each<[Argon2Cost]>([
  [{ passes: 1, memoryKiB: 8, lanes: 1 }],
  [{ passes: 4, memoryKiB: 32, lanes: 4 }],
  // Not a multiple of four for each lane.
  [{ passes: 3, memoryKiB: 1001, lanes: 3 }],
])('is what another library makes it: %j', async (cost) => {
  for (const type of ['argon2i', 'argon2id'] as const) {
    expect(hex(await argon2(type, password, salt, cost, 64))).toBe(expected(type, password, cost));
    const none = new Uint8Array();
    expect(hex(await argon2(type, none, salt, cost, 64))).toBe(expected(type, none, cost));
    expect(hex(await nodeArgon2(type, password, salt, cost, 64))).toBe(expected(type, password, cost));
  }
});

it('says what it takes when it cannot be had', async () => {
  const cost = { passes: 1, memoryKiB: 2 ** 20, lanes: 1 };
  useArgon2(() => Promise.reject(new RangeError('Out of memory')));
  try {
    await expect(async () => argon2('argon2id', password, salt, cost, 32)).rejects.toMatchObject({
      kind: 'unsupported',
      message: expect.stringMatching(/1024 MiB of memory.*Out of memory/) as string,
    });
  } finally {
    useArgon2(undefined);
  }
});

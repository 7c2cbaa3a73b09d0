import { expect, test } from 'vitest';
import { argon2InWebAssembly } from '../../src/codec/argon2.ts';
import { argon2InWorker } from '../../src/worker/argon2.ts';

const password = new Uint8Array(32).fill(1);
const salt = new Uint8Array(16).fill(2);
const cost = { passes: 4, memoryKiB: 32 * 1024, lanes: 4 };

test('argon2 on a thread of its own gives what it gives on this one, and lets this one run', async () => {
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  const key = await argon2InWorker('argon2id', password, salt, cost, 64);
  clearInterval(timer);
  expect(turns).toBeGreaterThan(1);
  expect(key).toEqual(await argon2InWebAssembly('argon2id', password, salt, cost, 64));
});

test('what goes wrong there is told here', async () => {
  const impossible = { passes: 1, memoryKiB: 1, lanes: 4 };
  await expect(async () => argon2InWorker('argon2i', password, salt, impossible, 64)).rejects.toThrow(/[Mm]emory/);
});

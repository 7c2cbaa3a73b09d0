/** Files that several threads make longer at a time, and what is left of them when one of the writes fails. */
import type * as nodeFs from 'node:fs';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { fileProtocol } from '../../../src/block/protocol/file/index.ts';
import type { Storage } from '../../../src/block/driver.ts';

/** Which write on a thread fails, counted from 0, after it has written half of its bytes. */
const plan = vi.hoisted(() => ({ failing: -1, begun: 0 }));

vi.mock('node:fs', async (importOriginal) => {
  const { promisify } = await import('node:util');
  const original = await importOriginal<typeof nodeFs>();
  const real = promisify(original.write);
  const write = async (...[fd, data, from, length, at]: [number, Uint8Array, number, number, number]) => {
    if (plan.begun++ !== plan.failing) return real(fd, data, from, length, at);
    await real(fd, data, from, length / 2, at);
    throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  };
  return { ...original, write: Object.assign(() => undefined, { [promisify.custom]: write }) };
});

const PIECE = 512 * 1024;
const folder = mkdtempSync(join(tmpdir(), 'spindle-growth-'));
const filename = join(folder, 'disk');

afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function openWith(failing: number): Promise<Storage> {
  Object.assign(plan, { failing, begun: 0 });
  await fileProtocol.create!({ filename }, PIECE);
  return fileProtocol.open({ filename, aio: 'threads' }, { readOnly: false });
}

/** Writes pieces 1 to `count` of the file, all at once. */
const grow = (storage: Storage, count: number): Promise<void>[] =>
  Array.from({ length: count }, (_, index) =>
    Promise.resolve(storage.write((index + 1) * PIECE, new Uint8Array(PIECE).fill(index + 1))),
  );

const outcomes = async (writes: readonly Promise<void>[]): Promise<string[]> =>
  (await Promise.allSettled(writes)).map(({ status }) => status);

describe('a file that threads make longer', () => {
  beforeEach(() => rmSync(filename, { force: true }));

  test('is cut to what has been written when the last write fails', async () => {
    const storage = await openWith(2);
    expect(await outcomes(grow(storage, 3))).toEqual(['fulfilled', 'fulfilled', 'rejected']);
    expect(await storage.getLength()).toBe(3 * PIECE);
    expect(statSync(filename).size).toBe(3 * PIECE);
    await storage.close();
  });

  test('keeps what others write behind the one that fails', async () => {
    const storage = await openWith(0);
    expect(await outcomes(grow(storage, 3))).toEqual(['rejected', 'fulfilled', 'fulfilled']);
    expect(statSync(filename).size).toBe(4 * PIECE);
    const bytes = readFileSync(filename);
    expect([bytes[2 * PIECE], bytes[3 * PIECE], bytes[4 * PIECE - 1]]).toEqual([2, 3, 3]);
    await storage.close();
  });

  test('is not cut under writes on their way, whatever else changes its length meanwhile', async () => {
    const storage = await openWith(-1);
    const writes = grow(storage, 3);
    // It ends before what is being written does.
    const zeroed = storage.writeZeroes!(PIECE, 4096, false);
    expect(zeroed).toBeInstanceOf(Promise);
    await Promise.all([...writes, zeroed]);
    expect(statSync(filename).size).toBe(4 * PIECE);
    expect([readFileSync(filename)[PIECE], readFileSync(filename)[3 * PIECE]]).toEqual([0, 3]);
    const more = storage.write(4 * PIECE, new Uint8Array(PIECE));
    await Promise.all([more, storage.truncate(2 * PIECE)]);
    expect(await storage.getLength()).toBe(2 * PIECE);
    expect(statSync(filename).size).toBe(2 * PIECE);
    await storage.close();
  });
});

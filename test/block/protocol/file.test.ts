import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { MaybePromise } from '../../../src/block/co.ts';
import { fromSystemError } from '../../../src/block/protocol/file/errors.ts';
import { fileProtocol } from '../../../src/block/protocol/file/index.ts';
import { registerWritableSuite } from '../../conformance/storage-suite.ts';

const folder = mkdtempSync(join(tmpdir(), 'spindle-file-'));
let files = 0;
const settled = async (request: MaybePromise<void>) => await request;
const at = (name: string) => join(folder, name);
const open = (filename: string, readOnly = false) => fileProtocol.open({ filename }, { readOnly });

afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('file', () => {
  registerWritableSuite(
    {
      driver: fileProtocol,
      synchronous: true,
      chunkBytes: 65536,
      farOffset: 2 ** 36 + 512,
      fresh: (label) => ({ filename: at(`${label.replaceAll('/', '-')}-${files++}`) }),
    },
    test,
  );

  registerWritableSuite(
    {
      driver: fileProtocol,
      synchronous: false,
      chunkBytes: 65536,
      farOffset: 2 ** 36 + 512,
      fresh: (label) => ({ filename: at(`${label.replaceAll('/', '-')}-${files++}`), aio: 'threads' as const }),
    },
    test,
  );

  test('what is no file is neither written over nor deleted: it could be a device of the machine', async () => {
    execFileSync('mkfifo', [at('pipe')]);
    mkdirSync(at('a folder'));
    await expect(fileProtocol.create!({ filename: at('pipe') }, 512)).rejects.toThrow(
      'It is neither a file nor a block',
    );
    for (const name of ['pipe', 'a folder']) {
      await fileProtocol.delete!({ filename: at(name) });
      expect(lstatSync(at(name)).isFile(), name).toBe(false);
    }
  });

  test('on threads, several long reads are on their way at a time, and none fails unheard', async () => {
    const piece = 512 * 1024;
    const pieces = Array.from({ length: 8 }, (_, index) => new Uint8Array(piece).fill(index + 1));
    await fileProtocol.create!({ filename: at('threads') }, 6 * piece);
    const storage = await fileProtocol.open({ filename: at('threads'), aio: 'threads' }, { readOnly: false });
    // The last two make it longer.
    await Promise.all(pieces.map((data, index) => settled(storage.write(index * piece, data))));
    expect(await storage.getLength()).toBe(8 * piece);
    await storage.write(0, new Uint8Array(5 * piece + 1).fill(9));
    const start = new Uint8Array(6 * piece);
    await storage.read(0, start);
    expect([start[0], start[5 * piece], start[5 * piece + 1]]).toEqual([9, 9, 6]);
    for (const [index, data] of pieces.entries()) await settled(storage.write(index * piece, data));
    const buffers = pieces.map(() => new Uint8Array(piece));
    const reads = buffers.map((buffer, index) => storage.read((index + 0.5) * piece, buffer));
    expect(reads.every((read) => read instanceof Promise)).toBe(true);
    await Promise.all(reads.map((read) => settled(read)));
    expect(buffers.map((buffer) => [buffer[0], buffer[piece - 1]])).toEqual(
      pieces.map((_, index) => [index + 1, index < 7 ? index + 2 : 0]),
    );
    truncateSync(at('threads'), piece);
    await expect(storage.read(4 * piece, buffers[0]!)).rejects.toMatchObject({ kind: 'io', message: /cut it/ });
    await storage.close();
    await expect(storage.read(0, buffers[0]!)).rejects.toMatchObject({ kind: 'closed' });
  });

  test('the bytes are in the file itself, and holes take no space', async () => {
    await fileProtocol.create!({ filename: at('plain') }, 2 ** 30);
    const storage = await open(at('plain'));
    await storage.write(4096, new Uint8Array([1, 2, 3]));
    await storage.flush();
    expect(await storage.allocatedSize!()).toBeLessThan(2 ** 20);
    await storage.truncate(4099);
    await storage.close();
    expect([...readFileSync(at('plain')).subarray(4095)]).toEqual([0, 1, 2, 3]);
    expect(statSync(at('plain')).size).toBe(4099);
  });

  test('what is no disk is refused by what it is', async () => {
    mkdirSync(at('folder'));
    await expect(open(at('folder'))).rejects.toMatchObject({ kind: 'invalid' });
    await expect(open(at('folder'), true)).rejects.toMatchObject({ kind: 'invalid' });
    await expect(open('/dev/null', true)).rejects.toMatchObject({ kind: 'invalid' });
    writeFileSync(at('flat'), 'x');
    await expect(open(at('flat/below'), true)).rejects.toMatchObject({ kind: 'not-found' });
    await expect(open(at('x'.repeat(300)), true)).rejects.toMatchObject({ kind: 'invalid' });
  });

  test('a file that may not be written is a matter of permission', async (context) => {
    context.skip(process.getuid?.() === 0, 'root may write to every file');
    writeFileSync(at('protected'), 'x');
    chmodSync(at('protected'), 0o444);
    await expect(open(at('protected'))).rejects.toMatchObject({ kind: 'permission' });
  });

  test.each([
    ['EACCES', 'permission'],
    ['EROFS', 'permission'],
    ['EDQUOT', 'no-space'],
    ['EIO', 'io'],
  ])('%s is of kind %s', (code, kind) => {
    const failure = fromSystemError(Object.assign(new Error(code), { code }), { driver: 'file', filename: 'x' });
    expect(failure.kind).toBe(kind);
    expect(failure.cause).toBeInstanceOf(Error);
  });

  test('a full disk is no-space, and the length stays', async () => {
    // This device takes no byte, whatever its reader thinks of it.
    let failure: unknown;
    try {
      writeFileSync('/dev/full', 'x');
    } catch (error) {
      failure = error;
    }
    expect(fromSystemError(failure, { driver: 'file', filename: '/dev/full' })).toMatchObject({ kind: 'no-space' });
    await fileProtocol.create!({ filename: at('limited') }, 10);
    const storage = await open(at('limited'));
    expect(() => storage.write(2 ** 53 - 1000, new Uint8Array(500))).toThrow(
      expect.objectContaining({ kind: expect.stringMatching('no-space|io') as string }),
    );
    expect(await storage.getLength()).toBe(10);
    expect(statSync(at('limited')).size).toBe(10);
    await storage.close();
  });

  test('links and other spellings lead to the same lock', async () => {
    await fileProtocol.create!({ filename: at('locked') }, 10);
    symlinkSync(at('locked'), at('link'));
    const storage = await open(at('locked'));
    await expect(open(at('link'))).rejects.toMatchObject({ kind: 'busy' });
    await expect(open(at('folder/../locked'), true)).rejects.toMatchObject({ kind: 'busy' });
    const shared = await fileProtocol.open({ filename: at('locked') }, { readOnly: true, forceShare: true });
    await shared.close();
    await storage.close();
  });

  test('a file that was cut behind its back is an error, not zeroes', async () => {
    writeFileSync(at('cut'), new Uint8Array(1000));
    const storage = await open(at('cut'), true);
    truncateSync(at('cut'), 10);
    expect(() => storage.read(0, new Uint8Array(1000))).toThrow(expect.objectContaining({ kind: 'io' }));
    await storage.close();
  });

  test('names', () => {
    expect(fileProtocol.parseFilename!('file:a.img')).toEqual({ driver: 'file', filename: 'a.img' });
    expect(fileProtocol.resolve!({ filename: '/disks/a.img' }, 'b.img')).toEqual({
      driver: 'file',
      filename: '/disks/b.img',
    });
    expect(fileProtocol.resolve!({ filename: '/disks/a.img' }, '/x/b.img')).toEqual({
      driver: 'file',
      filename: '/x/b.img',
    });
  });
});

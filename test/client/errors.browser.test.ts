import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BlockError, connect, type FileRequest, type Spindle } from '../../src/client/index.ts';
import { failsWith } from '../support/check.ts';

const folder = 'client-test-errors';
const file = { driver: 'opfs', path: `${folder}/overlay.qcow2` } as const;
const baseFile = { driver: 'opfs', path: `${folder}/base.img` } as const;

let spindle: Spindle;
beforeAll(async () => {
  spindle = await connect();
  await spindle.create({ driver: 'raw', file: baseFile, size: 65536 }, { overwrite: true });
  await spindle.create(
    { driver: 'qcow2', file, size: 65536, backing_file: 'base.img', backing_fmt: 'raw' },
    { overwrite: true },
  );
});
afterAll(async () => {
  for (const { path } of await spindle.files.list(folder)) await spindle.files.delete(path);
  await spindle.close();
});

describe('errors arrive whole', () => {
  test('from a call', async () => {
    const missing = { driver: 'opfs', path: 'no/such.img' } as const;
    const error = await failsWith('not-found', () => spindle.open({ driver: 'raw', file: missing }), 'open');
    expect(error).toBeInstanceOf(BlockError);
    expect(error.context).toMatchObject({ driver: 'opfs', op: 'open' });
    expect(error.describe()).toContain('no/such.img');
    expect((error.cause as Error).name).toBe('NotFoundError');
    const unknown = { driver: 'raw', file: { driver: 'memory', size: 512, speed: 'high' } } as const;
    const invalid = await failsWith('invalid', () => spindle.open(unknown), 'an unknown option');
    expect(invalid.message).toContain("Option 'speed' is not known");
  });

  test('from a request, with where it happened; other requests of the same message go on', async () => {
    await using disk = await spindle.open({ driver: 'raw', 'read-only': true, 'node-name': 'base', file: baseFile });
    const results = await Promise.allSettled([
      disk.read(0, 512),
      disk.write(512, new Uint8Array(10)),
      disk.writeZeroes(1024, 512),
      disk.read(512, 512),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled']);
    const error = (results[1] as PromiseRejectedResult).reason as BlockError;
    expect(error).toBeInstanceOf(BlockError);
    expect(error.kind).toBe('permission');
    expect(error.context).toMatchObject({ op: 'write', offset: 512 });
  });

  test('outside the disk, before anything is sent', async () => {
    await using disk = await spindle.open({ driver: 'raw', file: { driver: 'memory', size: 1024 } });
    for (const [offset, length] of [
      [1024, 1],
      [-1, 1],
      [0, 2 ** 50],
      [0.5, 1],
      [0, Number.NaN],
    ] as const) {
      await failsWith('invalid', () => disk.read(offset, length), `read ${offset} ${length}`);
      await failsWith('invalid', () => disk.discard(offset, length), `discard ${offset} ${length}`);
    }
    await failsWith('invalid', () => disk.map({ offset: 0, length: 4096 }), 'map');
  });

  test('from what a format cannot do', async () => {
    await using disk = await spindle.open({ driver: 'raw', file: { driver: 'memory', size: 1024 } });
    await failsWith('unsupported', () => disk.check(), 'check');
    await failsWith('unsupported', () => disk.export({ format: 'vmdk' as 'raw' }), 'export');
  });
});

describe('files that an image names', () => {
  const overlay = { driver: 'qcow2', file } as const;

  test('are refused unless they are allowed', async () => {
    const error = await failsWith('denied', () => spindle.open(overlay), 'open');
    expect(error.context).toMatchObject({ filename: 'base.img', detail: { child: 'backing' } });
    await failsWith('denied', () => spindle.open(overlay, { allow: ['other.img'] }), 'another name allowed');
    await using disk = await spindle.open(overlay, { allow: ['base.img'] });
    expect((await disk.info())['backing-image']?.format).toBe('raw');
  });

  test('are put to a function, which sees what is asked for and may say what to open', async () => {
    const asked: FileRequest[] = [];
    const replacement = { driver: 'raw', file: { driver: 'memory', size: 65536 } } as const;
    const allow = (request: FileRequest) => {
      asked.push(request);
      return replacement;
    };
    await using disk = await spindle.open({ ...overlay, 'backing-identity': 'ignore' }, { allow });
    expect(asked).toHaveLength(1);
    expect(asked[0]).toMatchObject({ child: 'backing', filename: 'base.img', format: 'raw', depth: 1 });
    expect(asked[0]?.options).toEqual({ driver: 'raw', file: baseFile });
    expect((await disk.stats()).children['backing']?.children['file']?.driver).toBe('memory');
  });

  test('stay closed when the function says no, or fails', async () => {
    await failsWith('denied', () => spindle.open(overlay, { allow: () => Promise.resolve(false) }), 'a no');
    const allow = () => {
      throw new RangeError('who knows');
    };
    const error = await failsWith('denied', () => spindle.open(overlay, { allow }), 'a failure');
    expect((error.cause as Error).message).toBe('who knows');
    await (await spindle.open(overlay, { allow: () => true })).close();
  });

  test('are not opened for inspection, and then no data is given out', async () => {
    await using disk = await spindle.open({ ...overlay, 'read-only': true }, { inspect: true });
    expect((await disk.info())['backing-filename']).toBe('base.img');
    expect((await disk.check()).corruptions).toBe(0);
    await failsWith('invalid', () => disk.read(0, 512), 'a read');
  });

  test('may stand on one another only so far', async () => {
    await using disk = await spindle.open(overlay, { allow: ['base.img'], maxChainDepth: 1 });
    expect(disk.size).toBe(65536);
    await disk.close();
    await failsWith('invalid', () => spindle.open(overlay, { allow: ['base.img'], maxChainDepth: 0 }), 'depth 0');
  });
});

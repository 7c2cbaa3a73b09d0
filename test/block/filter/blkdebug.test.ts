import { describe, expect, test } from 'vitest';
import type { DebugPoints } from '../../../src/block/driver.ts';
import { parseConfig } from '../../../src/block/filter/blkdebug/config-file.ts';
import type { BlockBackend } from '../../../src/block/graph/backend.ts';
import type { FilterNode } from '../../../src/block/graph/filter-node.ts';
import { coreGraph } from '../../support/core-graph.ts';
import { CountingStorage } from '../../support/counting-storage.ts';
import { SimulatedStorage } from '../../support/simulated-storage.ts';

const given = (name: string) => ({ driver: 'given', name });

async function openRaw(
  options: Readonly<Record<string, unknown>>,
  config?: string,
): Promise<{ disk: BlockBackend; storage: CountingStorage; debug: DebugPoints }> {
  const storage = new CountingStorage(new SimulatedStorage({ initial: new Uint8Array(65536).fill(1) }));
  const rules = new SimulatedStorage({ initial: new TextEncoder().encode(config ?? '') });
  const graph = coreGraph({ image: storage, 'rules.conf': rules });
  const file = { driver: 'blkdebug', 'node-name': 'debug', image: given('image'), ...options };
  const disk = await graph.open({ driver: 'raw', file });
  const node = graph.require('debug') as FilterNode;
  return { disk, storage, debug: node.filter.debug! };
}

const read = async (disk: BlockBackend, offset = 0, length = 512): Promise<string> => {
  try {
    await disk.read(offset, new Uint8Array(length));
    return 'ok';
  } catch (error) {
    return (error as { kind: string }).kind;
  }
};
const write = async (disk: BlockBackend, offset = 0, length = 512): Promise<string> => {
  try {
    await disk.write(offset, new Uint8Array(length));
    return 'ok';
  } catch (error) {
    return (error as { kind: string }).kind;
  }
};

describe('blkdebug', () => {
  test('an error is injected at its event, and stays until the next such event', async () => {
    const { disk, storage } = await openRaw({ 'inject-error.0.event': 'read_aio' });
    expect(await write(disk)).toBe('ok');
    storage.take();
    expect(await read(disk)).toBe('io');
    expect(storage.take().reads).toBe(0);
    // The rule is active now: everything fails.
    expect(await write(disk)).toBe('io');
  });

  test('once, errno, iotype and sector', async () => {
    const { disk } = await openRaw({
      'inject-error': [
        { event: 'none', iotype: 'write', errno: 28, once: 'on' },
        { event: 'none', iotype: 'read', sector: '2', errno: '13', immediately: true },
      ],
    });
    expect(await read(disk, 0, 1024)).toBe('ok');
    expect(await read(disk, 1024, 512)).toBe('permission');
    expect(await read(disk, 512, 1024)).toBe('permission');
    expect(await read(disk, 1536, 512)).toBe('ok');
    expect(await write(disk)).toBe('no-space');
    expect(await write(disk)).toBe('ok');
  });

  test('states: a rule counts only in its own, and a set-state rule changes it', async () => {
    const { disk } = await openRaw({
      'inject-error.0.event': 'read_aio',
      'inject-error.0.state': '2',
      'inject-error.0.once': 'on',
      'set-state.0.event': 'write_aio',
      'set-state.0.state': '1',
      'set-state.0.new_state': '2',
    });
    expect(await read(disk)).toBe('ok');
    expect(await write(disk)).toBe('ok');
    expect(await read(disk)).toBe('io');
    expect(await read(disk)).toBe('ok');
  });

  test('rules from a file', async () => {
    const config = '# comment\n[inject-error]\nevent = "write_aio"\nerrno = "28"\nonce = "on"\n';
    const { disk } = await openRaw({ config: 'rules.conf' }, config);
    expect(await write(disk)).toBe('no-space');
    expect(await write(disk)).toBe('ok');
  });

  test('a breakpoint stops a request until it is resumed', async () => {
    const { disk, debug, storage } = await openRaw({});
    const seen: string[] = [];
    debug.observe((what, tag) => seen.push(`${what} ${tag}`));
    debug.breakpoint('write_aio', 'A');
    const writing = write(disk);
    await Promise.resolve();
    expect(debug.isSuspended('A')).toBe(true);
    expect(storage.take().writes).toBe(0);
    // It stops one request only.
    expect(await write(disk, 512)).toBe('ok');
    expect(debug.resume('A')).toBe(true);
    expect(await writing).toBe('ok');
    expect(debug.resume('A')).toBe(false);
    expect(seen).toEqual(['suspended A', 'resumed A']);
  });

  test('a breakpoint that is removed lets its request go', async () => {
    const { disk, debug } = await openRaw({});
    debug.breakpoint('read_aio', 'B');
    debug.breakpoint('write_aio', 'B');
    const reading = read(disk);
    expect(debug.removeBreakpoint('B')).toBe(true);
    expect(await reading).toBe('ok');
    expect(await write(disk)).toBe('ok');
    expect(debug.removeBreakpoint('B')).toBe(false);
    expect(() => debug.breakpoint('nonsense', 'C')).toThrow('nonsense');
  });

  test('alignment and longest transfer: the core reads, modifies, writes and splits', async () => {
    const { disk, storage } = await openRaw({ align: 4096, 'max-transfer': 8192 });
    storage.take();
    await disk.write(100, new Uint8Array(10).fill(9));
    expect(storage.take()).toMatchObject({ reads: 1, readBytes: 4096, writes: 1, writtenBytes: 4096 });
    await disk.write(0, new Uint8Array(20480));
    expect(storage.take()).toMatchObject({ reads: 0, writes: 3, writtenBytes: 20480 });
    await disk.read(1, new Uint8Array(20000));
    expect(storage.take()).toMatchObject({ reads: 3, readBytes: 20480 });
  });

  test('events of the request itself, in order, where blocks are read and modified', async () => {
    const { disk } = await openRaw({ align: 4096 });
    const events: string[] = [];
    disk.node.children.get('file')!.node.onEvent = (name) => events.push(name);
    await disk.write(100, new Uint8Array(8192));
    expect(events).toEqual([
      'write_aio',
      'pwritev_rmw_head',
      'pwritev_rmw_after_head',
      'pwritev_rmw_tail',
      'pwritev_rmw_after_tail',
      'pwritev',
      'pwritev_done',
    ]);
  });

  test.each([
    [{ 'inject-error.0.event': 'foo' }, 'invalid parameter value: foo'],
    [{ 'inject-error.0.errno': '5' }, 'Missing event name for rule'],
    [{ 'inject-error.0.event': 'none', 'inject-error.0.foo': '1' }, "section doesn't support the option 'foo'"],
    [{ align: 3 }, 'Cannot meet constraints with align 3'],
    [{ align: 1024, 'max-transfer': 1000 }, 'Cannot meet constraints with max-transfer 1000'],
    [{ align: 4096, 'opt-discard': 512 }, 'Cannot meet constraints with opt-discard 512'],
    [{ 'take-child-perms': ['fly'] }, "'fly'"],
    [{ config: 'not-there' }, 'Could not read blkdebug config file'],
  ])('%o is refused', async (options, message) => {
    await expect(openRaw(options)).rejects.toThrow(message);
  });

  test.each([
    ['[foo]', "There is no option group 'foo'"],
    ['[inject-error]\nfoo = "x"', "Invalid parameter 'foo'"],
    ['event = "x"', 'no group defined'],
    ['[inject-error]\nevent none', 'parse error'],
  ])('a file of rules that is none: %j', (text, message) => {
    expect(() => parseConfig(text)).toThrow(message);
  });

  test('names', async () => {
    const storage = new SimulatedStorage({ initial: new Uint8Array(1024) });
    const graph = coreGraph({ 'a.img': storage });
    const disk = await graph.open('blkdebug::given:a.img').catch((error: unknown) => error);
    expect(disk).toBeDefined();
    await expect(graph.open('blkdebug:only')).rejects.toThrow('blkdebug requires both config file and image path');
    await expect(graph.open('blkverify:only')).rejects.toThrow('blkverify requires raw copy and original image path');
  });
});

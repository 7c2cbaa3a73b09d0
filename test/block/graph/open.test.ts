import { describe, expect, test } from 'vitest';
import { BlockError } from '../../../src/block/error.ts';
import { allowNames, type ReferenceRequest } from '../../../src/block/graph/gate.ts';
import { coreGraph } from '../../support/core-graph.ts';
import { SimulatedStorage } from '../../support/simulated-storage.ts';

const MIB = 1024 * 1024;
const storage = (bytes = MIB) => new SimulatedStorage({ initial: new Uint8Array(bytes) });
const given = (name: string) => ({ driver: 'given', name });
const raw = (name: string) => ({ driver: 'raw', file: given(name) });
const overlay = (name: string, options: object = {}) => ({
  driver: 'mapped',
  size: MIB,
  file: given(name),
  ...options,
});

async function failure(attempt: Promise<unknown>): Promise<BlockError> {
  const error = await attempt.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof BlockError)) throw new Error(`expected a BlockError, got ${String(error)}`);
  return error;
}

describe('opening', () => {
  test('by options, and closing closes the storage too', async () => {
    const a = storage();
    const graph = coreGraph({ a });
    const disk = await graph.open(raw('a'));
    expect(disk.length).toBe(MIB);
    expect([...graph.nodes]).toHaveLength(2);
    await graph.close(disk);
    expect(a.closed).toBe(true);
    expect([...graph.nodes]).toHaveLength(0);
    expect(() => disk.read(0, new Uint8Array(512))).toThrow('is closed');
  });

  test('by json: and by dotted keys', async () => {
    const graph = coreGraph({ a: storage(), b: storage(1024) });
    const first = await graph.open('json:{"driver":"raw","file.driver":"given","file.name":"a"}');
    const second = await graph.open({ driver: 'raw', 'file.driver': 'given', 'file.name': 'b' });
    expect([first.length, second.length]).toEqual([MIB, 1024]);
  });

  test('by name, probing the format; then it is read-only', async () => {
    const graph = coreGraph({ a: storage() });
    const disk = await graph.open('given:a');
    expect(disk.node.driver.name).toBe('raw');
    expect(disk.readOnly).toBe(true);
    expect(() => disk.write(0, new Uint8Array(512))).toThrow('may not write');
  });

  test('probing is refused for writing: the format must be named', async () => {
    const graph = coreGraph({ a: storage() });
    const error = await failure(graph.open({ file: given('a'), 'read-only': false }));
    expect(error.kind).toBe('invalid');
    expect(error.message).toContain("Pass 'driver'");
    expect([...graph.nodes]).toHaveLength(0);
  });

  test('a storage that can only be read makes its disk read-only, and refuses read-only: false', async () => {
    const graph = coreGraph({ a: new SimulatedStorage({ initial: new Uint8Array(512), readOnly: true }) });
    const disk = await graph.open(raw('a'));
    expect(disk.readOnly).toBe(true);
    await graph.close(disk);
    const other = coreGraph({ a: new SimulatedStorage({ initial: new Uint8Array(512), readOnly: true }) });
    expect((await failure(other.open({ ...raw('a'), 'read-only': false }))).kind).toBe('permission');
  });

  test.each([
    [{ driver: 'nope' }, 'unsupported', "There is no driver 'nope'"],
    [{ driver: 'raw' }, 'invalid', "Option 'file' of driver 'raw' is missing"],
    [{ driver: 'raw', file: given('a'), colour: 'red' }, 'invalid', "Option 'colour' is not known to driver 'raw'"],
    [{ driver: 'raw', file: given('missing') }, 'not-found', "No storage 'missing'"],
    [{ driver: 'raw', file: 'unknown-node' }, 'not-found', "There is no node 'unknown-node'"],
    [{ driver: 'raw', file: given('a'), 'node-name': '1x' }, 'invalid', 'is no node name'],
    [
      { driver: 'raw', file: given('a'), offset: 2 * MIB },
      'invalid',
      'cannot be greater than size of the containing file',
    ],
    [{ driver: 'raw', file: given('a'), backing: given('b') }, 'invalid', 'has no backing files'],
    ['json:{"driver"', 'invalid', 'not valid JSON'],
    ['nbd:localhost:10809', 'unsupported', "Unknown protocol 'nbd'"],
  ] as const)('refuses %o, and leaves nothing open', async (options, kind, message) => {
    const a = storage();
    const graph = coreGraph({ a, b: storage() });
    const error = await failure(graph.open(options));
    expect(error.kind).toBe(kind);
    expect(error.message).toContain(message);
    expect([...graph.nodes]).toHaveLength(0);
  });

  test('an open that takes its time holds up no other, and its name is taken already', async () => {
    const graph = coreGraph({ top: storage(0), base: storage(), other: storage() });
    let answer: (allowed: boolean) => void = () => undefined;
    const asked = new Promise<boolean>((resolve) => {
      answer = resolve;
    });
    const slow = graph.open(overlay('top', { 'names-backing': 'base', 'node-name': 'mine' }), {
      references: () => asked,
    });
    const other = await graph.open(raw('other'));
    expect((await failure(graph.open({ ...raw('base'), 'node-name': 'mine' }))).kind).toBe('exists');
    await graph.close(other);
    answer(false);
    expect((await failure(slow)).kind).toBe('denied');
    await graph.open({ ...raw('base'), 'node-name': 'mine' });
  });

  test('an error says which file it is about, and what was being done', async () => {
    const graph = coreGraph({ a: storage() });
    const error = await failure(graph.open({ ...raw('missing'), 'node-name': 'mine' }));
    expect(error.context).toMatchObject({ driver: 'given', op: 'open', filename: 'given:missing' });
    expect(error.describe()).toContain("file 'given:missing'");
  });
});

describe('permissions', () => {
  test('a second writer of a node is refused, and a second reader beside a writer too unless it shares', async () => {
    const graph = coreGraph({ a: storage() });
    const node = await graph.add({ ...raw('a'), 'node-name': 'shared' });
    graph.createBackend(node);
    const attempt = () => graph.createBackend(node);
    expect(attempt).toThrow(BlockError);
    expect(attempt).toThrow("does not share the permission 'write'");
  });

  test('readers share', async () => {
    const graph = coreGraph({ a: storage() });
    const node = await graph.add({ ...raw('a'), 'read-only': true });
    const first = graph.createBackend(node);
    const second = graph.createBackend(node);
    await graph.close(first);
    const buffer = new Uint8Array(512).fill(1);
    await second.read(0, buffer);
    expect(buffer[0]).toBe(0);
  });

  test('one base under two overlays, which nobody may write meanwhile', async () => {
    const graph = coreGraph({ base: storage(), a: storage(0), b: storage(0) });
    await graph.add({ ...raw('base'), 'node-name': 'base' });
    await graph.open(overlay('a', { backing: 'base' }));
    await graph.open(overlay('b', { backing: 'base' }));
    expect(() => graph.createBackend(graph.require('base'))).toThrow('does not share');
  });

  test('a node in use is not removed', async () => {
    const graph = coreGraph({ a: storage() });
    const disk = await graph.open({ ...raw('a'), 'node-name': 'mine' });
    expect((await failure(graph.remove('mine'))).kind).toBe('busy');
    await graph.close(disk);
  });
});

describe('the gate', () => {
  const names = { 'names-backing': 'base' };

  test('refuses a file that an image names, and says which and what to do', async () => {
    const graph = coreGraph({ top: storage(0), base: storage() });
    const error = await failure(graph.open(overlay('top', names)));
    expect(error.kind).toBe('denied');
    expect(error.message).toContain("The image 'given:top' names 'base' as its backing file");
    expect(error.message).toContain("Pass 'backing' in the options");
    expect(error.context.detail).toMatchObject({ child: 'backing', reference: 'base', depth: 1 });
    expect([...graph.nodes]).toHaveLength(0);
  });

  test('asks the policy with what the name means, and opens what it allows', async () => {
    const graph = coreGraph({ top: storage(0), base: storage() });
    const asked: ReferenceRequest[] = [];
    const disk = await graph.open(overlay('top', names), {
      references: (request) => {
        asked.push(request);
        return true;
      },
    });
    expect(asked).toMatchObject([
      {
        filename: 'base',
        format: 'raw',
        options: { driver: 'raw', file: given('base') },
        parentFilename: 'given:top',
        depth: 1,
      },
    ]);
    expect([...graph.chain(disk.node)].map((node) => node.driver.name)).toEqual(['mapped', 'raw']);
  });

  test('opens what the policy puts in its place, and allows names from a list', async () => {
    const graph = coreGraph({ top: storage(0), other: storage(512), base: storage() });
    const replaced = await graph.open(overlay('top', names), { references: () => raw('other') });
    expect(replaced.node.below?.length).toBe(512);
    const listed = coreGraph({ top: storage(0), base: storage() });
    await listed.open(overlay('top', names), { references: allowNames(['base']) });
    const refused = coreGraph({ top: storage(0), base: storage() });
    expect((await failure(refused.open(overlay('top', names), { references: allowNames(['./base']) }))).kind).toBe(
      'denied',
    );
  });

  test('is not asked when the caller gives the backing file, or none, or only looks', async () => {
    const never = (): never => {
      throw new Error('asked');
    };
    for (const options of [{ backing: raw('base') }, { backing: null }]) {
      const graph = coreGraph({ top: storage(0), base: storage() });
      await graph.open(overlay('top', { ...names, ...options }), { references: never });
    }
    const graph = coreGraph({ top: storage(0) });
    await graph.open(overlay('top', { ...names, 'read-only': true }), { references: never, inspect: true });
  });

  test('a chain that bites its tail is refused, not followed', async () => {
    const graph = coreGraph({ top: new SimulatedStorage({ initial: new Uint8Array(512) }) });
    const circle = { driver: 'mapped', size: MIB, 'names-backing': 'top', file: given('top') };
    let asked = 0;
    const error = await failure(graph.open({ ...circle, 'read-only': true }, { references: () => (asked++, circle) }));
    expect(error.kind).toBe('corrupt');
    expect(error.message).toContain('round in a circle');
    expect(asked).toBe(1);
  });

  test('a chain deeper than the limit is refused', async () => {
    const layers = Array.from({ length: 6 }, (_, i) => `s${i}`);
    const graph = coreGraph(Object.fromEntries(layers.map((name) => [name, storage(0)])));
    const deep = layers.reduceRight<object | null>((backing, name) => overlay(name, { backing }), null) as Record<
      string,
      unknown
    >;
    const error = await failure(graph.open(deep, { maxChainDepth: 4 }));
    expect(error.message).toContain('More than 4 images stand on one another');
    expect([...graph.nodes]).toHaveLength(0);
  });
});

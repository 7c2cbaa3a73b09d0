import { describe, expect, test } from 'vitest';
import { startAsync } from '../../../src/block/co.ts';
import { BlockError } from '../../../src/block/error.ts';
import { qcow2 } from '../../../src/block/format/qcow2/driver.ts';
import { raw } from '../../../src/block/format/raw/driver.ts';
import { BlockGraph } from '../../../src/block/graph/graph.ts';
import { convertImage } from '../../../src/block/image/convert.ts';
import { createImage } from '../../../src/block/image/create.ts';
import { copyRange } from '../../../src/block/io/copy.ts';
import { createMemoryProtocol } from '../../../src/block/protocol/memory/index.ts';
import { CountingStorage } from '../../support/counting-storage.ts';
import { FailingStorage } from '../../support/failing-storage.ts';
import { givenProtocol } from '../../support/given-storage.ts';
import { equalBytes, Random } from '../../support/random.ts';
import { SimulatedStorage } from '../../support/simulated-storage.ts';
import type { Storage } from '../../../src/block/driver.ts';

const MIB = 1024 * 1024;
const memory = (name: string) => ({ driver: 'memory', name });

function graphWith(storages: Readonly<Record<string, Storage>> = {}): BlockGraph {
  return new BlockGraph({
    protocols: [givenProtocol(new Map(Object.entries(storages))), createMemoryProtocol()],
    formats: [qcow2, raw],
    filters: [],
    defaultProtocol: 'memory',
  });
}

/** A disk of which a third is data, in runs of odd lengths. */
function someDisk(random: Random, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let run = 0; run < 20; run++) {
    const start = random.below(size);
    bytes.fill(1 + random.below(255), start, start + random.below(size / 40));
  }
  return bytes;
}

describe('convert', () => {
  test.each([
    ['qcow2', true],
    ['raw', true],
    ['qcow2', false],
  ])('to %s (a source that waits: %s) gives the same disk, and progress up to its end', async (format, waits) => {
    const content = someDisk(new Random(3), 9 * MIB + 512);
    const source = new SimulatedStorage(waits ? { initial: content, random: new Random(4) } : { initial: content });
    const graph = graphWith({ source });
    const node = await graph.add({ driver: 'raw', file: { driver: 'given', name: 'source' }, 'read-only': true });
    const progress: number[] = [];
    const target = { driver: format, file: memory('target') };
    await startAsync(convertImage(graph, node, target, { progress: { report: (done) => progress.push(done) } }));
    const disk = await graph.open({ ...target, 'read-only': true });
    const copied = new Uint8Array(disk.length);
    await disk.read(0, copied);
    expect(equalBytes(copied, content)).toBe(true);
    expect(progress.at(-1)).toBe(content.length);
    expect(progress).toEqual(progress.toSorted((a, b) => a - b));
  });

  test('reads nothing of what is known to be zero, and writes no zeroes into a new image', async () => {
    const base = new CountingStorage(new SimulatedStorage());
    const graph = graphWith({ base });
    await startAsync(createImage(graph, { driver: 'qcow2', file: memory('sparse'), size: 1024 * MIB }));
    const sparse = await graph.open({ driver: 'qcow2', file: memory('sparse') });
    sparse.writeSync(700 * MIB, new Uint8Array(65_536).fill(7));
    await startAsync(convertImage(graph, sparse.node, { driver: 'qcow2', file: memory('copy') }));
    const copy = await graph.open({ driver: 'qcow2', file: memory('copy') });
    const byte = new Uint8Array(1);
    copy.readSync(700 * MIB + 5, byte);
    expect(byte[0]).toBe(7);
    expect(sparse.node.statistics.read.bytes).toBe(65_536);
    expect(copy.node.statistics.write.bytes).toBe(0);
  });

  test('an error of the source ends it, with nothing left in flight', async () => {
    const broken = new FailingStorage(
      new SimulatedStorage({ initial: someDisk(new Random(5), 8 * MIB), random: new Random(6) }),
      { verbs: ['read'], nth: 2, times: 1, kind: 'io' },
    );
    const graph = graphWith({ broken });
    const node = await graph.add({ driver: 'raw', file: { driver: 'given', name: 'broken' }, 'read-only': true });
    const failed = startAsync(convertImage(graph, node, { driver: 'raw', file: memory('target') }));
    await expect(failed).rejects.toMatchObject({ kind: 'io' });
    expect([...graph.nodes].map(({ driver }) => driver.name)).toEqual(['given', 'raw']);
  });

  test('an error leaves no file of the new image behind, its external data file neither', async () => {
    const broken = new FailingStorage(new SimulatedStorage({ initial: someDisk(new Random(5), 8 * MIB) }), {
      verbs: ['read'],
      nth: 2,
      times: 1,
      kind: 'io',
    });
    const graph = graphWith({ broken });
    const node = await graph.add({ driver: 'raw', file: { driver: 'given', name: 'broken' }, 'read-only': true });
    const target = { driver: 'qcow2', file: memory('target'), data_file: 'beside' };
    await expect(startAsync(convertImage(graph, node, target))).rejects.toMatchObject({ kind: 'io' });
    for (const name of ['target', 'beside']) {
      await expect(graph.open({ driver: 'raw', file: memory(name) }), name).rejects.toMatchObject({
        kind: 'not-found',
      });
    }
  });

  test('a caller who gives up stops it', async () => {
    const source = new SimulatedStorage({ initial: someDisk(new Random(7), 8 * MIB) });
    const graph = graphWith({ source });
    const node = await graph.add({ driver: 'raw', file: { driver: 'given', name: 'source' }, 'read-only': true });
    const report = (done: number): void => {
      if (done > 3 * MIB) throw new BlockError('aborted', 'enough');
    };
    const failed = startAsync(
      convertImage(graph, node, { driver: 'raw', file: memory('t') }, { progress: { report } }),
    );
    await expect(failed).rejects.toMatchObject({ kind: 'aborted' });
  });
});

test('a copy over old data writes zeroes where the source has none', async () => {
  const content = someDisk(new Random(8), 4 * MIB);
  const graph = graphWith({
    source: new SimulatedStorage({ initial: content }),
    target: new SimulatedStorage({ initial: new Uint8Array(4 * MIB).fill(0xee) }),
  });
  const source = await graph.add({ driver: 'raw', file: { driver: 'given', name: 'source' }, 'read-only': true });
  const target = await graph.open({ driver: 'raw', file: { driver: 'given', name: 'target' } });
  await startAsync(copyRange(source, target, 0, 4 * MIB, { targetIsZero: false, detectZeroes: true }));
  const copied = new Uint8Array(4 * MIB);
  await target.read(0, copied);
  expect(equalBytes(copied, content)).toBe(true);
});

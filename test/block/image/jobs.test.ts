import { describe, expect, test } from 'vitest';
import { startAsync } from '../../../src/block/co.ts';
import { BlockError } from '../../../src/block/error.ts';
import { qcow2 } from '../../../src/block/format/qcow2/driver.ts';
import { raw } from '../../../src/block/format/raw/driver.ts';
import type { BlockBackend } from '../../../src/block/graph/backend.ts';
import { BlockGraph } from '../../../src/block/graph/graph.ts';
import { commitImage } from '../../../src/block/image/commit.ts';
import { compareImages } from '../../../src/block/image/compare.ts';
import { convertImage } from '../../../src/block/image/convert.ts';
import { createImage } from '../../../src/block/image/create.ts';
import { copyForRebase, setBackingFile } from '../../../src/block/image/rebase.ts';
import { COPY_BYTES, copyRange } from '../../../src/block/io/copy.ts';
import { createMemoryProtocol } from '../../../src/block/protocol/memory/index.ts';
import type { Storage } from '../../../src/block/driver.ts';
import { FailingStorage } from '../../support/failing-storage.ts';
import { givenProtocol } from '../../support/given-storage.ts';
import { equalBytes, Random } from '../../support/random.ts';
import { SimulatedStorage } from '../../support/simulated-storage.ts';

const MIB = 1024 * 1024;
const CLUSTER = 65_536;
const SIZE = 2 * MIB;
const memory = (name: string) => ({ driver: 'memory', name });

function graphWith(storages: Readonly<Record<string, Storage>> = {}): BlockGraph {
  return new BlockGraph({
    protocols: [givenProtocol(new Map(Object.entries(storages))), createMemoryProtocol()],
    formats: [qcow2, raw],
    filters: [],
    defaultProtocol: 'memory',
  });
}

async function contentOf(disk: BlockBackend): Promise<Uint8Array> {
  const bytes = new Uint8Array(disk.length);
  await disk.read(0, bytes);
  return bytes;
}

async function writeSome(disk: BlockBackend, random: Random): Promise<void> {
  for (let write = 0; write < 12; write++) {
    const offset = random.below(disk.length - 3 * CLUSTER);
    if (write % 4 === 3) await disk.writeZeroes(offset, 1 + random.below(2 * CLUSTER));
    else await disk.write(offset, new Uint8Array(1 + random.below(2 * CLUSTER)).fill(1 + random.below(255)));
  }
}

/** An image with data of its own. */
async function makeImage(graph: BlockGraph, name: string, random: Random, backing?: string): Promise<void> {
  const base = backing === undefined ? {} : { backing_file: backing, backing_fmt: 'qcow2' };
  await startAsync(createImage(graph, { driver: 'qcow2', file: memory(name), size: SIZE, ...base }));
  const below = backing === undefined ? {} : { backing: { driver: 'qcow2', file: memory(backing), 'read-only': true } };
  const disk = await graph.open({ driver: 'qcow2', file: memory(name), ...below });
  await writeSome(disk, random);
  await graph.close(disk);
}

describe('convert', () => {
  test('a request that fails, whichever it is, leaves no target', async () => {
    let failures = 0;
    for (let nth = 1; ; nth++) {
      const content = new Uint8Array(3 * COPY_BYTES).fill(5);
      const source = new FailingStorage(new SimulatedStorage({ initial: content, random: new Random(nth) }), {
        verbs: ['read'],
        nth,
        times: 1,
        kind: 'io',
      });
      const graph = graphWith({ source });
      const node = await graph.add({ driver: 'raw', file: { driver: 'given', name: 'source' }, 'read-only': true });
      const target = { driver: 'qcow2', file: memory('target') };
      const failed = await startAsync(convertImage(graph, node, target)).then(
        () => false,
        () => true,
      );
      const opened = graph.open({ ...target, 'read-only': true });
      if (!failed) {
        expect((await opened).length).toBe(3 * COPY_BYTES);
        break;
      }
      failures++;
      await expect(opened).rejects.toMatchObject({ kind: 'not-found' });
    }
    expect(failures).toBeGreaterThan(2);
  });
});

describe('the copy loop', () => {
  const settings = { targetIsZero: true, detectZeroes: false, writeZeroesAsData: true };

  test('writes in the order of the disk, however long reads take', async () => {
    const content = new Uint8Array(8 * COPY_BYTES).fill(1);
    content.fill(0, 2 * COPY_BYTES, 3 * COPY_BYTES);
    const graph = graphWith({ source: new SimulatedStorage({ initial: content, random: new Random(1) }) });
    const source = await graph.add({ driver: 'raw', file: { driver: 'given', name: 'source' }, 'read-only': true });
    const offsets: number[] = [];
    const target = {
      write: (offset: number) => {
        offsets.push(offset);
      },
      writeZeroes: () => undefined,
    };
    await startAsync(copyRange(source, target, 0, 8 * COPY_BYTES, settings));
    expect(offsets).toEqual(offsets.toSorted((a, b) => a - b));
    expect(offsets).toHaveLength(8);
  });

  test('begins a write when the one before has been begun, not when it has ended', async () => {
    const content = new Uint8Array(8 * COPY_BYTES).fill(1);
    const graph = graphWith({ source: new SimulatedStorage({ initial: content, random: new Random(2) }) });
    const source = await graph.add({ driver: 'raw', file: { driver: 'given', name: 'source' }, 'read-only': true });
    const offsets: number[] = [];
    let inFlight = 0;
    let most = 0;
    const target = {
      async write(offset: number) {
        offsets.push(offset);
        most = Math.max(most, ++inFlight);
        await new Promise((resolve) => setTimeout(resolve, 5));
        inFlight--;
      },
      writeZeroes: () => undefined,
    };
    await startAsync(copyRange(source, target, 0, 8 * COPY_BYTES, settings));
    expect(offsets).toEqual(Array.from({ length: 8 }, (_, index) => index * COPY_BYTES));
    expect(most).toBeGreaterThan(1);
    // Where compressed data goes is known only when it is compressed.
    most = 0;
    await startAsync(copyRange(source, target, 0, 8 * COPY_BYTES, { ...settings, compressed: true }));
    expect(most).toBe(1);
  });

  test('goes on behind a read that fails, if it is asked to', async () => {
    const content = new Uint8Array(MIB).fill(9);
    const source = new FailingStorage(new SimulatedStorage({ initial: content }), {
      verbs: ['read'],
      nth: 1,
      times: 2,
      kind: 'io',
    });
    const graph = graphWith({ source });
    const node = await graph.add({ driver: 'raw', file: { driver: 'given', name: 'source' }, 'read-only': true });
    await startAsync(createImage(graph, { driver: 'raw', file: memory('t'), size: MIB }));
    const target = await graph.open({ driver: 'raw', file: memory('t') });
    const unreadable: number[] = [];
    await startAsync(
      copyRange(node, target, 0, MIB, { ...settings, onUnreadable: (offset) => unreadable.push(offset) }),
    );
    expect(unreadable).toEqual([0]);
    expect(equalBytes(await contentOf(target), content.fill(0, 0, 512))).toBe(true);
  });
});

describe('commit', () => {
  test('the base reads as the overlay did, which holds nothing any more', async () => {
    for (let seed = 0; seed < 8; seed++) {
      const graph = graphWith();
      const random = new Random(seed);
      await makeImage(graph, 'base', random);
      await makeImage(graph, 'top', random, 'base');
      const base = await graph.add({ driver: 'qcow2', file: memory('base') });
      const top = await graph.open({ driver: 'qcow2', file: memory('top'), backing: base.nodeName });
      const before = await contentOf(top);
      await startAsync(commitImage(graph, top.node, base, { empty: true }));
      expect(equalBytes(await contentOf(top), before), `seed ${seed}`).toBe(true);
      const status = await top.node.layerStatus(0, SIZE);
      expect(status).toMatchObject({ present: false, length: SIZE });
      await graph.close(top);
      const alone = await graph.open({ driver: 'qcow2', file: memory('base'), 'read-only': true });
      expect(equalBytes(await contentOf(alone), before), `seed ${seed}`).toBe(true);
    }
  });

  test('a write to the base that fails, whichever it is, costs the overlay nothing', async () => {
    let failures = 0;
    for (let nth = 1; ; nth++) {
      const storage = new SimulatedStorage({ initial: new Uint8Array(SIZE) });
      const failing = new FailingStorage(storage, {
        verbs: ['write', 'flush'],
        nth,
        times: 1,
        kind: 'io',
      });
      const graph = graphWith({ base: failing });
      await startAsync(
        createImage(graph, {
          driver: 'qcow2',
          file: memory('top'),
          size: SIZE,
          backing_file: 'base',
          backing_fmt: 'raw',
        }),
      );
      const base = await graph.add({ driver: 'raw', file: { driver: 'given', name: 'base' } });
      const top = await graph.open({ driver: 'qcow2', file: memory('top'), backing: base.nodeName });
      await writeSome(top, new Random(3));
      const before = await contentOf(top);
      const failed = await startAsync(commitImage(graph, top.node, base, { empty: true })).then(
        () => false,
        (error: unknown) => error instanceof BlockError,
      );
      expect(equalBytes(await contentOf(top), before), `request ${nth}`).toBe(true);
      if (!failed) break;
      failures++;
    }
    expect(failures).toBeGreaterThan(3);
  });
});

describe('rebase and compare', () => {
  test('the disk stays the same on another backing file, and on none', async () => {
    for (let seed = 0; seed < 8; seed++) {
      const graph = graphWith();
      const random = new Random(seed);
      await makeImage(graph, 'old', random);
      await makeImage(graph, 'new', random);
      await makeImage(graph, 'top', random, 'old');
      const on = (name: string) => ({ backing: { driver: 'qcow2', file: memory(name), 'read-only': true } });
      const top = { driver: 'qcow2', file: memory('top') };
      const disk = await graph.open({ ...top, ...on('old') });
      const before = await contentOf(disk);
      const onto = await graph.open({ driver: 'qcow2', file: memory('new'), 'read-only': true });
      await startAsync(copyForRebase(disk, onto.node));
      await startAsync(setBackingFile(disk, { filename: 'new', format: 'qcow2' }));
      await graph.close(disk);
      await graph.close(onto);
      const moved = await graph.open({ ...top, ...on('new') });
      expect(equalBytes(await contentOf(moved), before), `seed ${seed}`).toBe(true);
      await startAsync(copyForRebase(moved, undefined));
      await startAsync(setBackingFile(moved, undefined));
      await graph.close(moved);
      const alone = await graph.open(top);
      expect(equalBytes(await contentOf(alone), before), `seed ${seed}`).toBe(true);
      expect(await startAsync(compareImages(alone.node, alone.node))).toEqual({ equal: true });
      const at = random.below(SIZE);
      const byte = new Uint8Array(1);
      await alone.read(at, byte);
      await makeImage(graph, 'copy', random);
      const copy = await graph.open({ driver: 'qcow2', file: memory('copy') });
      await copy.write(0, before);
      await copy.write(at, Uint8Array.of(byte[0]! ^ 1));
      const offset = at - (at % 512);
      expect(await startAsync(compareImages(alone.node, copy.node))).toEqual({
        equal: false,
        difference: 'content',
        offset,
      });
    }
  });
});

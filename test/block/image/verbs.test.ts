import { describe, expect, test } from 'vitest';
import { settle, startAsync } from '../../../src/block/co.ts';
import { BlockError } from '../../../src/block/error.ts';
import { createImage } from '../../../src/block/image/create.ts';
import { openExport, type ImageExport } from '../../../src/block/image/export.ts';
import { imageInfo } from '../../../src/block/image/info.ts';
import { probeImage } from '../../../src/block/image/probe.ts';
import { coreGraph } from '../../support/core-graph.ts';
import { equalBytes, Random } from '../../support/random.ts';
import { SimulatedStorage } from '../../support/simulated-storage.ts';

const MIB = 1024 * 1024;
const memory = (name: string) => ({ driver: 'memory', name });

describe('create', () => {
  test('makes a raw image of the size, and does not write over it unasked', async () => {
    const graph = coreGraph();
    const options = { driver: 'raw', file: memory('new.img'), size: '3M' };
    await startAsync(createImage(graph, options));
    const disk = await graph.open({ driver: 'raw', file: memory('new.img') });
    expect(disk.length).toBe(3 * MIB);
    disk.writeSync(0, new Uint8Array(512).fill(1));
    await graph.close(disk);

    await expect(startAsync(createImage(graph, options))).rejects.toMatchObject({ kind: 'exists' });
    await startAsync(createImage(graph, options, { overwrite: true }));
    const again = await graph.open({ driver: 'raw', file: memory('new.img') });
    const bytes = new Uint8Array(512).fill(9);
    again.readSync(0, bytes);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
  });

  test('makes a bare file with a protocol as its driver', async () => {
    const graph = coreGraph();
    await startAsync(createImage(graph, { driver: 'memory', name: 'blank', size: 4096 }));
    const file = await graph.open(memory('blank'));
    expect(file.length).toBe(4096);
  });

  test.each([
    [{ driver: 'raw', size: 512 }, 'invalid', "Option 'file' is missing"],
    [{ driver: 'raw', file: memory('x') }, 'invalid', "Option 'size'"],
    [{ driver: 'raw', file: memory('x'), size: 512, cluster_size: 512 }, 'invalid', "'cluster_size' is not known"],
    [{ driver: 'mapped', file: memory('x'), size: 512 }, 'unsupported', 'cannot be made'],
    [{ driver: 'raw', file: { driver: 'given', name: 'x' }, size: 512 }, 'unsupported', 'cannot make files'],
  ])('refuses %o and leaves no file', async (options, kind, message) => {
    const graph = coreGraph();
    const error: unknown = await startAsync(createImage(graph, options)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BlockError);
    expect(error).toMatchObject({ kind, message: expect.stringContaining(message) as string });
    await expect(graph.open({ driver: 'raw', file: memory('x') })).rejects.toMatchObject({ kind: 'not-found' });
  });
});

test('probe tells the best format and all scores, and leaves nothing open', async () => {
  const head = new Uint8Array(512);
  head.set([0x4d, 0x50]);
  const graph = coreGraph({ a: new SimulatedStorage({ initial: head }) });
  expect(await startAsync(probeImage(graph, { driver: 'given', name: 'a' }))).toEqual({
    format: 'mapped',
    score: 100,
    scores: [
      { format: 'mapped', score: 100 },
      { format: 'raw', score: 1 },
    ],
    filename: 'given:a',
    size: 512,
  });
  expect([...graph.nodes]).toHaveLength(0);
});

test('info tells every layer under the names that qemu-img uses', async () => {
  const graph = coreGraph({
    top: new SimulatedStorage(),
    base: new SimulatedStorage({ initial: new Uint8Array(MIB) }),
  });
  const disk = await graph.open({
    driver: 'mapped',
    'node-name': 'mine',
    size: 2 * MIB,
    file: { driver: 'given', name: 'top' },
    backing: { driver: 'raw', 'node-name': 'base', file: { driver: 'given', name: 'base' } },
  });
  expect(await startAsync(imageInfo(disk.node))).toMatchObject({
    filename: 'given:top',
    format: 'mapped',
    'node-name': 'mine',
    'virtual-size': 2 * MIB,
    'file-size': 0,
    'read-only': false,
    'backing-image': {
      filename: 'given:base',
      format: 'raw',
      'node-name': 'base',
      'virtual-size': MIB,
      'read-only': true,
    },
  });
});

describe('export', () => {
  async function collect(file: ImageExport): Promise<Uint8Array> {
    const bytes = new Uint8Array(file.totalBytes);
    let at = 0;
    for (;;) {
      const piece = await startAsync(settle(file.next()));
      if (piece === undefined) break;
      bytes.set(piece, at);
      at += piece.length;
    }
    expect(at).toBe(file.totalBytes);
    return bytes;
  }

  test('raw is the disk, byte for byte, and the disk stands still until it is closed', async () => {
    const random = new Random(5);
    const initial = Uint8Array.from({ length: 2 * MIB + 512 }, () => random.below(256));
    const graph = coreGraph({ a: new SimulatedStorage({ initial, random: new Random(6) }) });
    const disk = await graph.open({ driver: 'raw', file: { driver: 'given', name: 'a' } });
    const file = await startAsync(openExport(graph, disk.node, 'raw'));
    let written = false;
    const writing = Promise.resolve(disk.write(0, new Uint8Array(512))).then(() => (written = true));
    expect(equalBytes(await collect(file), initial)).toBe(true);
    expect(written).toBe(false);
    file.close();
    await writing;
    expect(written).toBe(true);
  });

  test('a format that cannot be streamed is refused, and the disk goes on', async () => {
    const graph = coreGraph({ a: new SimulatedStorage({ initial: new Uint8Array(512) }) });
    const disk = await graph.open({ driver: 'raw', file: { driver: 'given', name: 'a' } });
    await expect(startAsync(openExport(graph, disk.node, 'mapped'))).rejects.toMatchObject({ kind: 'unsupported' });
    disk.writeSync(0, new Uint8Array(512));
  });
});

import { describe, expect, it } from 'vitest';
import { startAsync } from '../../../src/block/co.ts';
import { BlockGraph } from '../../../src/block/graph/graph.ts';
import { filterDrivers } from '../../../src/block/filter/index.ts';
import { formatDrivers } from '../../../src/block/format/index.ts';
import { convertImage } from '../../../src/block/image/convert.ts';
import { createImage } from '../../../src/block/image/create.ts';
import { createMemoryProtocol } from '../../../src/block/protocol/memory/index.ts';
import { compressibleBytes, equalBytes, Random } from '../../support/random.ts';

const KiB = 1024;
const MiB = KiB ** 2;
const CLUSTER = 64 * KiB;

function memoryGraph(): BlockGraph {
  return new BlockGraph({
    protocols: [createMemoryProtocol()],
    formats: formatDrivers,
    filters: filterDrivers,
    defaultProtocol: 'memory',
  });
}

const file = (name: string) => ({ driver: 'memory', name });

async function imageGraph(options: Readonly<Record<string, unknown>> = {}): Promise<BlockGraph> {
  const graph = memoryGraph();
  await startAsync(createImage(graph, { driver: 'qcow2', file: file('disk'), size: 4 * MiB, ...options }));
  return graph;
}

describe('compress', () => {
  it('stores compressed whatever is written through it, whole clusters or not', async () => {
    const graph = await imageGraph();
    const disk = await graph.open({ driver: 'compress', file: { driver: 'qcow2', file: file('disk') } });
    const random = new Random(1);
    const model = new Uint8Array(4 * MiB);
    for (let id = 1; id <= 60; id++) {
      const offset = random.below(model.length - 1);
      const length = Math.min(model.length - offset, random.between(1, 3 * CLUSTER));
      const data = compressibleBytes(id, offset, length);
      model.set(data, offset);
      await disk.write(offset, data);
    }
    const found = new Uint8Array(model.length);
    await disk.read(0, found);
    expect(equalBytes(found, model)).toBe(true);
    const result = await (disk.node.below as unknown as { image: { check(fix: string): unknown } }).image.check('none');
    expect(result).toMatchObject({ corruptions: 0, leaks: 0 });
    expect((result as { compressedClusters: number }).compressedClusters).toBeGreaterThan(40);
    await graph.close(disk);
  });

  it('fills up the last cluster of a disk that ends inside it', async () => {
    const size = CLUSTER + 512;
    const graph = await imageGraph({ size });
    const disk = await graph.open({ driver: 'compress', file: { driver: 'qcow2', file: file('disk') } });
    const data = compressibleBytes(1, 0, size);
    await disk.write(0, data);
    const found = new Uint8Array(size);
    await disk.read(0, found);
    expect(equalBytes(found, data)).toBe(true);
    await disk.resize(3 * CLUSTER);
    const grown = new Uint8Array(3 * CLUSTER);
    await disk.read(0, grown);
    expect(equalBytes(grown.subarray(0, size), data)).toBe(true);
    expect(grown.subarray(size).every((byte) => byte === 0)).toBe(true);
    // A smaller disk and a larger one again: what was behind its end is gone.
    await disk.resize(700);
    await disk.resize(3 * CLUSTER);
    await disk.read(0, grown);
    expect(equalBytes(grown.subarray(0, 512), data.subarray(0, 512))).toBe(true);
    expect(grown.subarray(1024).every((byte) => byte === 0)).toBe(true);
    await graph.close(disk);
  });

  it('is refused over a format that cannot compress, and so is the flag alone', async () => {
    const graph = memoryGraph();
    await startAsync(createImage(graph, { driver: 'raw', file: file('plain'), size: MiB }));
    const raw = { driver: 'raw', file: file('plain') };
    await expect(graph.open({ driver: 'compress', file: raw })).rejects.toMatchObject({
      kind: 'unsupported',
      message: expect.stringMatching(/^Compression is not supported for the format of/) as string,
    });
    const disk = await graph.open(raw);
    await expect((async () => disk.write(0, new Uint8Array(512), { compressed: true }))()).rejects.toMatchObject({
      kind: 'unsupported',
      message: "The format 'raw' cannot store data compressed",
    });
    await graph.close(disk);
  });
});

it('convert compresses when it is told to', async () => {
  const graph = memoryGraph();
  await startAsync(createImage(graph, { driver: 'raw', file: file('source'), size: 4 * MiB }));
  const source = await graph.open({ driver: 'raw', file: file('source') });
  const data = compressibleBytes(1, 0, 2 * MiB);
  await source.write(MiB, data);
  for (const compression_type of ['zlib', 'zstd']) {
    const target = { driver: 'qcow2', file: file(compression_type), compression_type };
    await startAsync(convertImage(graph, source.node, target, { compress: true }));
    const disk = await graph.open({ driver: 'qcow2', file: file(compression_type) });
    const found = new Uint8Array(4 * MiB);
    await disk.read(0, found);
    expect(equalBytes(found.subarray(MiB, 3 * MiB), data)).toBe(true);
    expect(disk.node.children.get('file')!.length).toBeLessThan(2 * MiB);
    await graph.close(disk);
  }
});

import { describe, expect, test } from 'vitest';
import { coreGraph } from '../../support/core-graph.ts';
import { CountingStorage } from '../../support/counting-storage.ts';
import { SimulatedStorage } from '../../support/simulated-storage.ts';

const given = (name: string) => ({ driver: 'given', name });
const filter = { driver: 'preallocate', 'prealloc-size': 1 << 20, 'prealloc-align': 65536, file: given('file') };

describe('preallocate', () => {
  test('the file grows in steps, the disk does not, and the file is cut back at the end', async () => {
    const inner = new SimulatedStorage();
    const file = new CountingStorage(inner);
    const graph = coreGraph({ file });
    const disk = await graph.open(filter);
    const node = disk.node;
    for (let i = 0; i < 100; i++) await node.write(i * 1000, new Uint8Array(1000).fill(1));
    expect(node.length).toBe(100_000);
    expect(file.take().truncates).toBe(1);
    expect(await inner.getLength()).toBe((1 << 20) + 65536);
    await node.writeZeroes(100_000, 5000);
    expect(node.length).toBe(105_000);
    expect(file.take()).toMatchObject({ writes: 0, zeroes: 0 });
    await node.truncate(200_000);
    expect(file.take().truncates).toBe(0);
    const lengths: number[] = [];
    const truncate = inner.truncate.bind(inner);
    inner.truncate = (length) => {
      lengths.push(length);
      return truncate(length);
    };
    await graph.close(disk);
    expect(lengths).toEqual([200_000]);
  });

  test('a storage that cannot grow ahead is written all the same', async () => {
    const inner = new SimulatedStorage();
    inner.truncate = () => {
      throw Object.assign(new Error('full'), {});
    };
    const graph = coreGraph({ file: inner });
    const disk = await graph.open(filter);
    // What is no error of the block layer is a defect, and is not kept quiet about.
    expect(() => disk.node.write(0, new Uint8Array(10))).toThrow('full');
  });

  test('alignment is checked', async () => {
    const graph = coreGraph({ file: new SimulatedStorage() });
    await expect(graph.open({ ...filter, 'prealloc-align': 100 })).rejects.toThrow('prealloc-align');
  });
});

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { createImage, createNodeGraph, startAsync } from '../../src/node/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'spindle-node-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('a graph for Node opens files of the operating system, also by a name alone', async () => {
  const filename = join(folder, 'disk.img');
  writeFileSync(filename, new Uint8Array(4096).fill(7));
  const graph = createNodeGraph();
  const disk = await graph.open({ driver: 'raw', file: { driver: 'file', filename } });
  await disk.write(512, new Uint8Array(512).fill(9));
  await graph.close(disk);
  expect(readFileSync(filename).subarray(510, 514)).toEqual(Buffer.from([7, 7, 9, 9]));

  const named = await graph.open(filename);
  expect(named.readOnly).toBe(true);
  const bytes = new Uint8Array(2);
  await named.read(1023, bytes);
  expect([...bytes]).toEqual([9, 7]);
  await graph.close(named);
});

test('an image can be made from Node', async () => {
  const filename = join(folder, 'new.img');
  const graph = createNodeGraph();
  await startAsync(createImage(graph, { driver: 'raw', file: filename, size: '1M' }));
  expect(readFileSync(filename).length).toBe(1048576);
});

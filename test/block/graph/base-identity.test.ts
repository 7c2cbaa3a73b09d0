import { describe, expect, test } from 'vitest';
import { startAsync } from '../../../src/block/co.ts';
import { qcow2 } from '../../../src/block/format/qcow2/driver.ts';
import { raw } from '../../../src/block/format/raw/driver.ts';
import { BlockGraph } from '../../../src/block/graph/graph.ts';
import { createImage } from '../../../src/block/image/create.ts';
import { createMemoryProtocol } from '../../../src/block/protocol/memory/index.ts';

const MIB = 1024 * 1024;
const memory = (name: string) => ({ driver: 'memory', name });
const overlay = {
  driver: 'qcow2',
  'node-name': 'mine',
  file: memory('mine.qcow2'),
  backing: { driver: 'raw', file: memory('base.img') },
};

/** A graph with an overlay that was written to over a base of 1 MiB. */
async function overlayWithBase(): Promise<BlockGraph> {
  const graph = new BlockGraph({
    protocols: [createMemoryProtocol()],
    formats: [qcow2, raw],
    filters: [],
    defaultProtocol: 'memory',
  });
  await startAsync(createImage(graph, { driver: 'raw', file: memory('base.img'), size: MIB }));
  const { driver, file } = overlay;
  await startAsync(createImage(graph, { driver, file, size: MIB, backing_file: 'base.img', backing_fmt: 'raw' }));
  const disk = await graph.open(overlay);
  disk.writeSync(0, new Uint8Array(512).fill(1));
  await graph.close(disk);
  return graph;
}

async function changeBase(graph: BlockGraph, offset: number): Promise<void> {
  const base = await graph.open({ driver: 'raw', file: memory('base.img') });
  base.writeSync(offset, new Uint8Array(512).fill(9));
  await graph.close(base);
}

async function opens(graph: BlockGraph, options: object = {}): Promise<void> {
  const disk = await graph.open({ ...overlay, ...options });
  await graph.close(disk);
}

describe("the identity of an overlay's base", () => {
  test('the same base opens again, also after a reload of everything else', async () => {
    const graph = await overlayWithBase();
    await opens(graph);
    await opens(graph, { 'read-only': true });
  });

  test.each([
    ['its first bytes', 0],
    ['its last bytes', MIB - 512],
  ])('a base that changed in %s is refused, with what differs', async (_where, offset) => {
    const graph = await overlayWithBase();
    await changeBase(graph, offset);
    for (const options of [{}, { 'read-only': true }]) {
      await expect(opens(graph, options)).rejects.toMatchObject({
        kind: 'base-changed',
        message: expect.stringContaining("The backing file is not the one that 'mine' was made on") as string,
        context: { node: 'mine', filename: 'memory:base.img' },
      });
    }
    expect([...graph.nodes]).toHaveLength(0);
  });

  test('a base of another size is refused', async () => {
    const graph = await overlayWithBase();
    const base = await graph.open({ driver: 'raw', file: memory('base.img') });
    await base.resize(2 * MIB);
    await graph.close(base);
    await expect(opens(graph)).rejects.toMatchObject({
      message: expect.stringContaining('had 1048576 bytes and has 2097152') as string,
    });
  });

  test("'ignore' opens it for once, 'update' takes it for the base from now on", async () => {
    const graph = await overlayWithBase();
    await changeBase(graph, 0);
    await opens(graph, { 'backing-identity': 'ignore' });
    await expect(opens(graph)).rejects.toMatchObject({ kind: 'base-changed' });
    await opens(graph, { 'backing-identity': 'update' });
    await opens(graph);
  });

  test('a record that is none is named as corrupt', async () => {
    const graph = await overlayWithBase();
    const file = await graph.open(memory('mine.qcow2'));
    const head = new Uint8Array(4096);
    file.readSync(0, head);
    const at = new TextDecoder().decode(head).indexOf('{"size"');
    file.writeSync(at, new TextEncoder().encode('["size"'));
    await graph.close(file);
    await expect(opens(graph)).rejects.toMatchObject({ kind: 'corrupt' });
  });
});

import { describe, expect, it } from 'vitest';
import { startAsync } from '../../../../src/block/co.ts';
import { allowNames, type ReferenceRequest } from '../../../../src/block/graph/gate.ts';
import { qcow2 } from '../../../../src/block/format/qcow2/driver.ts';
import { raw } from '../../../../src/block/format/raw/driver.ts';
import { BlockGraph } from '../../../../src/block/graph/graph.ts';
import { convertImage } from '../../../../src/block/image/convert.ts';
import { createImage } from '../../../../src/block/image/create.ts';
import { imageInfo } from '../../../../src/block/image/info.ts';
import { createSnapshot } from '../../../../src/block/image/snapshot.ts';
import { createMemoryProtocol } from '../../../../src/block/protocol/memory/index.ts';
import { checkFile } from '../../../support/qcow2-check.ts';
import { Qcow2File } from '../../../support/qcow2-file.ts';
import { makeQcow2 as make, openQcow2 } from '../../../support/qcow2-session.ts';
import { LastingStorage } from '../../../support/scenario.ts';
import { equalBytes, patternedBytes } from '../../../support/random.ts';

const KiB = 1024;
const MiB = KiB ** 2;
const CLUSTER = 64 * KiB;

const memory = (name: string) => ({ driver: 'memory', name });

function memoryGraph(): BlockGraph {
  return new BlockGraph({
    protocols: [createMemoryProtocol()],
    formats: [qcow2, raw],
    filters: [],
    defaultProtocol: 'memory',
  });
}

async function createPair(graph: BlockGraph, options: Readonly<Record<string, unknown>> = {}): Promise<void> {
  await startAsync(
    createImage(graph, {
      driver: 'qcow2',
      file: memory('disks/a.qcow2'),
      size: MiB,
      data_file: 'a.raw',
      ...options,
    }),
  );
}

describe('an external data file', () => {
  it('is made beside the image, opened by the gate or not at all, and holds the guest data at its place', async () => {
    const graph = memoryGraph();
    await createPair(graph);
    const options = { driver: 'qcow2', file: memory('disks/a.qcow2') };
    await expect(graph.open(options)).rejects.toMatchObject({
      kind: 'denied',
      message: expect.stringContaining("'a.raw' as its 'data-file' file") as string,
    });
    const asked: ReferenceRequest[] = [];
    const disk = await graph.open(options, {
      references: (request) => {
        asked.push(request);
        return true;
      },
    });
    expect(asked.map(({ child, filename }) => ({ child, filename }))).toEqual([
      { child: 'data-file', filename: 'a.raw' },
    ]);
    const data = patternedBytes(1, 0, 1000);
    await disk.write(CLUSTER + 300, data);
    await graph.close(disk);
    const file = await graph.open(memory('disks/a.raw'));
    const found = new Uint8Array(1000);
    await file.read(CLUSTER + 300, found);
    expect(equalBytes(found, data)).toBe(true);
    expect(file.length).toBe(MiB);
  });

  it('is the one that the caller passes, which an image without one cannot have', async () => {
    const graph = memoryGraph();
    await createPair(graph);
    const options = { driver: 'qcow2', file: memory('disks/a.qcow2'), 'data-file': memory('disks/a.raw') };
    const disk = await graph.open(options);
    await disk.write(0, new Uint8Array(512).fill(1));
    await graph.close(disk);
    await startAsync(createImage(graph, { driver: 'qcow2', file: memory('plain.qcow2'), size: MiB }));
    await expect(graph.open({ ...options, file: memory('plain.qcow2') })).rejects.toThrow(
      "'data-file' can only be set for images with an external data file",
    );
  });

  it('is not opened to look at the image, whose information says its name', async () => {
    const graph = memoryGraph();
    await createPair(graph, { data_file_raw: true });
    const disk = await graph.open(
      { driver: 'qcow2', file: memory('disks/a.qcow2'), 'read-only': true },
      { inspect: true },
    );
    const info = await startAsync(imageInfo(graph.require(disk.node.nodeName)));
    expect(info['format-specific']?.data).toMatchObject({ 'data-file': 'a.raw', 'data-file-raw': true });
    await graph.close(disk);
  });

  it.each([
    [{ data_file_raw: true, data_file: undefined }, 'data-file-raw requires data-file'],
    [{ compat: '0.10' }, 'External data files are only supported with compatibility level 1.1 and above'],
    [
      { data_file_raw: true, backing_file: 'b', backing_fmt: 'raw' },
      'Backing file and data-file-raw cannot be used at the same time',
    ],
    [{ data_file: 'x'.repeat(1024) }, '1 to 1023 bytes'],
  ])('is refused with %o, and nothing is left behind', async (options, message) => {
    const graph = memoryGraph();
    await expect(createPair(graph, options)).rejects.toThrow(message);
    await expect(graph.open(memory('disks/a.qcow2'))).rejects.toMatchObject({ kind: 'not-found' });
    await expect(graph.open(memory('disks/a.raw'))).rejects.toMatchObject({ kind: 'not-found' });
  });

  it('keeps guest data out of the refcounts, and what is given back out of the file', async () => {
    const content = await make({ size: MiB, data_file: 'd' });
    const storage = new LastingStorage({ initial: content });
    const { graph, disk } = await openQcow2(storage);
    await disk.write(0, new Uint8Array(4 * CLUSTER).fill(1));
    await disk.flush();
    const fileBytes = storage.content.length;
    await disk.discard(CLUSTER, CLUSTER);
    const view = new Uint8Array(3 * CLUSTER);
    storage.content.beside!.read(0, view);
    expect([view[0], view[CLUSTER], view[2 * CLUSTER - 1], view[2 * CLUSTER]]).toEqual([1, 0, 0, 1]);
    await disk.write(8 * CLUSTER, new Uint8Array(4 * CLUSTER).fill(2));
    await graph.close(disk);
    expect(storage.content.length).toBe(fileBytes);
    const { result } = await checkFile(storage.content);
    expect(result).toMatchObject({ corruptions: 0, leaks: 0, allocatedClusters: 7 });
  });

  it('is made and filled by a conversion, and counts with what the image takes', async () => {
    const graph = memoryGraph();
    await startAsync(createImage(graph, { driver: 'raw', file: memory('source.raw'), size: MiB }));
    const source = await graph.open({ driver: 'raw', file: memory('source.raw') });
    const data = patternedBytes(2, 0, 3 * CLUSTER).slice();
    await source.write(CLUSTER, data);
    const target = { driver: 'qcow2', file: memory('disks/a.qcow2'), data_file: 'a.raw', data_file_raw: true };
    await startAsync(convertImage(graph, source.node, target));
    const disk = await graph.open(
      { driver: 'qcow2', file: memory('disks/a.qcow2'), 'read-only': true },
      { references: allowNames(['a.raw']) },
    );
    const found = new Uint8Array(3 * CLUSTER);
    await disk.read(CLUSTER, found);
    expect(equalBytes(found, data)).toBe(true);
    const whole = await disk.node.allocatedSize();
    await graph.close(disk);
    const file = await graph.open(memory('disks/a.qcow2'));
    const store = await graph.open(memory('disks/a.raw'));
    await store.read(CLUSTER, found);
    expect(equalBytes(found, data)).toBe(true);
    const parts = [await file.node.allocatedSize(), await store.node.allocatedSize()];
    expect(whole).toBe(parts.reduce<number>((sum, size) => sum + (size ?? 0), 0));
    expect(parts[1]).toBeGreaterThan(0);
  });

  it('is flushed before the tables lead to what is in it', async () => {
    const storage = new LastingStorage({ initial: await make({ size: MiB, data_file: 'd' }) });
    const { graph, disk } = await openQcow2(storage);
    await disk.write(0, new Uint8Array(512).fill(1));
    await disk.flush();
    const dataFlush = storage.log.findIndex((event) => event.kind === 'flush-begin' && event.file === 'beside');
    const l2Write = storage.log.findLastIndex((event) => event.kind === 'begin' && event.change.file === undefined);
    expect(dataFlush).toBeGreaterThan(0);
    expect(dataFlush).toBeLessThan(l2Write);
    await graph.close(disk);
  });

  it('has neither snapshots nor compressed clusters', async () => {
    const storage = new LastingStorage({ initial: await make({ size: MiB, data_file: 'd' }) });
    const { graph, disk } = await openQcow2(storage);
    await expect(startAsync(createSnapshot(disk.node, { name: 'one' }))).rejects.toThrow(/snapshots are not supported/);
    await expect((async () => disk.write(0, new Uint8Array(CLUSTER), { compressed: true }))()).rejects.toMatchObject({
      kind: 'unsupported',
    });
    await graph.close(disk);
  });

  it.each([
    ['elsewhere', (1n << 63n) | 0x20000n, /External data is not at its guest offset 10000/, /not to the guest offset/],
    [
      'compressed',
      (1n << 62n) | 0x10000n,
      /compressed cluster 1 with data file/,
      /is compressed, and the data is in an external/,
    ],
    ['not owned', 0x10000n, /OFLAG_COPIED data cluster: l2_entry=10000 refcount=1/, undefined],
  ])('is where entries lead to: %s is found by a check', async (_name, entry, found, refused) => {
    const content = await make({ size: MiB, data_file: 'd', preallocation: 'metadata' });
    const file = new Qcow2File(content);
    file.setUint64(file.l2Entry(CLUSTER), entry);
    const { result } = await checkFile(content);
    expect(result.findings.map(({ message }) => message).join()).toMatch(found);
    const { graph, disk } = await openQcow2(new LastingStorage({ initial: content }));
    const read = async (): Promise<void> => disk.read(CLUSTER, new Uint8Array(512));
    await (refused === undefined ? read() : expect(read()).rejects.toThrow(refused));
    await graph.close(disk);
  });
});

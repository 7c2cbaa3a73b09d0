/** Which named points a workload passes, in which order: what blkdebug's rules are written for. */
import { expect, test } from 'vitest';
import { startAsync } from '../../../../src/block/co.ts';
import type { BlockEvent } from '../../../../src/block/events.ts';
import type { BlockBackend } from '../../../../src/block/graph/backend.ts';
import { createNodeGraph, createImage, createSnapshot, writeVmState, readVmState } from '../../../../src/node/index.ts';

const CLUSTER = 65536;

/** An overlay on a base with data, and what is told to its file. */
async function openOverlay(create: Readonly<Record<string, unknown>> = {}): Promise<{
  disk: BlockBackend;
  /** The events since the last call. */
  take: () => BlockEvent[];
  close: () => Promise<void>;
}> {
  const graph = createNodeGraph();
  const store = { driver: 'memory', name: `top-${Math.random()}` };
  const baseFile = { driver: 'memory', name: `${store.name}-base` };
  await startAsync(createImage(graph, { driver: 'qcow2', file: baseFile, size: 64 * CLUSTER }));
  const base = await graph.open({ driver: 'qcow2', file: baseFile });
  await base.write(0, new Uint8Array(16 * CLUSTER).fill(1));
  await graph.close(base);
  await startAsync(createImage(graph, { driver: 'qcow2', file: store, size: 64 * CLUSTER, ...create }));
  await graph.add({ ...store, 'node-name': 'file' });
  let events: BlockEvent[] = [];
  graph.require('file').onEvent = (name) => events.push(name);
  const backing = { driver: 'qcow2', file: baseFile };
  const disk = await graph.open({ driver: 'qcow2', file: 'file', backing, 'backing-identity': 'ignore' });
  const take = () => {
    const taken = events;
    events = [];
    return taken;
  };
  return { disk, take, close: () => graph.close(disk) };
}

/** Requests of the driver, without those of its file's own node. */
const driverEvents = (events: readonly BlockEvent[]) => events.filter((name) => !name.startsWith('pwritev'));

test('opening, writing, reading and flushing', async () => {
  const { disk, take, close } = await openOverlay();
  expect(driverEvents(take())).toEqual(['reftable_load']);
  await disk.write(100, new Uint8Array(100));
  expect(driverEvents(take())).toEqual([
    'cluster_alloc',
    'refblock_load',
    'l2_alloc_write',
    'l2_load',
    'cluster_alloc',
    'cow_read',
    'read_backing_aio',
    'read_backing_aio',
    'write_aio',
    'cow_write',
  ]);
  await disk.write(0, new Uint8Array(512));
  expect(driverEvents(take())).toEqual(['write_aio']);
  await disk.read(0, new Uint8Array(2 * CLUSTER));
  expect(driverEvents(take())).toEqual(['read_aio', 'read_backing_aio']);
  await disk.flush();
  expect(driverEvents(take())).toEqual([
    'flush_to_os',
    'refblock_update_part',
    'flush_to_disk',
    'l2_update',
    'l1_update',
    'flush_to_disk',
  ]);
  await disk.discard(0, CLUSTER);
  await disk.flush();
  expect(take()).toContain('cluster_free');
  await close();
});

test('machine state, snapshots and copies of shared tables', async () => {
  const { disk, take, close } = await openOverlay();
  await disk.write(0, new Uint8Array(CLUSTER));
  await startAsync(writeVmState(disk.node, 0, new Uint8Array(CLUSTER).fill(1)));
  expect(take()).toContain('vmstate_save');
  await startAsync(createSnapshot(disk.node, { name: 'one', vmStateSize: CLUSTER }));
  expect(take()).toEqual(
    expect.arrayContaining([
      'l2_load',
      'l2_alloc_write',
      'l1_update',
      'refblock_alloc_write',
      'refblock_alloc_write_table',
      'refblock_alloc_switch_table',
    ]),
  );
  await startAsync(readVmState(disk.node, 0, new Uint8Array(512)));
  expect(take()).toContain('vmstate_load');
  await disk.write(0, new Uint8Array(CLUSTER));
  expect(driverEvents(take())).toEqual(expect.arrayContaining(['l2_alloc_cow_read', 'l2_alloc_write']));
  await close();
});

test('growing tables, and shrinking them', async () => {
  const { disk, take, close } = await openOverlay({ cluster_size: 512, size: 64 * 512 });
  take();
  await disk.resize(64 * 1024 * 1024);
  expect(driverEvents(take())).toEqual(
    expect.arrayContaining(['l1_grow_alloc_table', 'l1_grow_write_table', 'l1_grow_activate_table']),
  );
  await disk.write(0, new Uint8Array(4 * 1024 * 1024).fill(1));
  await disk.flush();
  expect(take()).toEqual(expect.arrayContaining(['refblock_alloc', 'refblock_alloc_write', 'refblock_alloc_hookup']));
  await disk.resize(512);
  expect(take()).toEqual(expect.arrayContaining(['l1_shrink_free_l2_clusters', 'l1_shrink_write_table']));
  await close();
});

test('the requests of the file itself', async () => {
  const { disk, take, close } = await openOverlay();
  await disk.write(0, new Uint8Array(CLUSTER));
  take();
  await disk.write(0, new Uint8Array(512));
  expect(take()).toEqual(['write_aio', 'pwritev', 'pwritev_done']);
  await close();
});

test('compressed clusters', async () => {
  const { disk, take, close } = await openOverlay();
  take();
  await disk.write(0, new Uint8Array(CLUSTER).fill(7), { compressed: true });
  const written = driverEvents(take());
  expect(written.filter((name) => name === 'cluster_alloc_bytes')).toHaveLength(1);
  expect(written.filter((name) => name === 'write_compressed')).toHaveLength(1);
  await disk.flush();
  take();
  await disk.read(512, new Uint8Array(512));
  expect(driverEvents(take())).toEqual(['read_compressed']);
  await close();
});

/** Clusters may be so large that what is copied around a write does not fit into memory. */
import { expect, it } from 'vitest';
import { qed } from '../../../src/block/format/qed/driver.ts';
import { vmdk } from '../../../src/block/format/vmdk/driver.ts';
import { SPARSE } from '../../../src/block/format/vmdk/layout.ts';
import { COPIED_EDGE_BYTES } from '../../../src/block/limits.ts';
import { patternedBytes } from '../../support/random.ts';
import { LastingStorage, makeImage, openDisk } from '../../support/scenario.ts';
import { SimulatedStorage, type Change } from '../../support/simulated-storage.ts';

const MIB = 2 ** 20;
const CLUSTER = 16 * MIB;

/** The longest write of data that reached a storage. */
function longestWrite({ log }: SimulatedStorage): number {
  const changes = log.flatMap((event) => (event.kind === 'begin' ? [event.change] : []));
  const writes = changes.filter((change): change is Extract<Change, { kind: 'write' }> => change.kind === 'write');
  return Math.max(...writes.map(({ data }) => data.length));
}

it('copies the edges of a cluster of 16 MiB piece by piece, and zeroes as zeroes', async () => {
  const base = new Uint8Array(10 * MIB);
  base.set(patternedBytes(1, 0, MIB), 3 * MIB);
  base.set(patternedBytes(2, 0, MIB), 9 * MIB);
  const create = { size: 2 * CLUSTER, cluster_size: CLUSTER, backing_file: 'base', backing_fmt: 'raw' };
  const storage = new LastingStorage({ initial: await makeImage(qed, create) });
  const { disk } = await openDisk(qed, storage, {}, new SimulatedStorage({ initial: base, readOnly: true }));
  const data = patternedBytes(3, 0, 700).slice();
  await disk.write(8 * MIB + 100, data);
  const expected = new Uint8Array(2 * CLUSTER);
  expected.set(base);
  expected.set(data, 8 * MIB + 100);
  const found = new Uint8Array(2 * CLUSTER);
  await disk.read(0, found);
  expect(found).toEqual(expected);
  expect(longestWrite(storage)).toBeLessThanOrEqual(COPIED_EDGE_BYTES);
  // Two pieces hold data, the others are no data at all.
  expect(storage.content.storedBytes).toBeLessThan(3 * COPIED_EDGE_BYTES);
});

// What fuzzing found: 128 MiB in memory, and in the file, for a write of some bytes. A header may ask for a gigabyte.
it('takes little memory for a VMDK image whose header says that it has grains of 128 MiB', async () => {
  const image = (await makeImage(vmdk, { size: MIB })).toBytes();
  new DataView(image.buffer).setBigUint64(SPARSE.grainSize, BigInt((128 * MIB) / 512), true);
  const storage = new LastingStorage({ initial: image });
  const { disk } = await openDisk(vmdk, storage);
  await disk.write(0, patternedBytes(1, 0, 512).slice());
  expect(longestWrite(storage)).toBeLessThanOrEqual(COPIED_EDGE_BYTES);
  expect(storage.content.storedBytes).toBeLessThan(MIB);
  const found = new Uint8Array(512);
  await disk.read(0, found);
  expect(found).toEqual(patternedBytes(1, 0, 512));
});

import { expect, test } from 'vitest';
import { layoutSequential, SEQUENTIAL_CLUSTER_SIZE as CLUSTER } from '../../src/block/format/qcow2/sequential.ts';
import { describeWithQemu, qemuImg, TemporaryFolder } from '../support/qemu.ts';
import { Random } from '../support/random.ts';

/** A disk in which some clusters hold data, as raw bytes. */
function someDisk(random: Random, virtualSize: number, chance: number): { raw: Uint8Array; data: Set<number> } {
  const raw = new Uint8Array(virtualSize);
  const data = new Set<number>();
  for (let cluster = 0; cluster * CLUSTER < virtualSize; cluster++) {
    if (!random.chance(chance)) continue;
    data.add(cluster);
    raw.fill(1 + random.below(255), cluster * CLUSTER, (cluster + 1) * CLUSTER);
  }
  return { raw, data };
}

/** The file that a stream of head and data clusters makes. */
function streamed(raw: Uint8Array, data: ReadonlySet<number>, virtualSize: number): Uint8Array {
  const layout = layoutSequential(virtualSize, (cluster) => data.has(cluster));
  const file = new Uint8Array(layout.totalBytes);
  let at = 0;
  for (const piece of layout.head()) {
    file.set(piece, at);
    at += piece.length;
  }
  for (const cluster of [...data].toSorted((a, b) => a - b)) {
    file.set(raw.subarray(cluster * CLUSTER, (cluster + 1) * CLUSTER), at);
    at += CLUSTER;
  }
  expect(at).toBe(layout.totalBytes);
  return file;
}

describeWithQemu('a qcow2 written front to back', () => {
  test.each([
    [0, 0],
    [512, 1],
    [CLUSTER * 3 + 512, 0],
    [CLUSTER * 3 + 512, 1],
    [CLUSTER * 700, 0.3],
    // Two L2 tables, the first of them mostly empty.
    [CLUSTER * 8192 + CLUSTER * 5, 0.01],
  ])('%d bytes, %d of them data: qemu-img finds no fault and the same content', async (virtualSize, chance) => {
    using folder = new TemporaryFolder();
    const { raw, data } = someDisk(new Random(virtualSize + 1), virtualSize, chance);
    const rawFile = folder.write('a.raw', raw);
    const qcow2File = folder.write('a.qcow2', streamed(raw, data, virtualSize));
    expect(await qemuImg('check', '-f', 'qcow2', qcow2File)).toContain('No errors were found');
    expect(await qemuImg('compare', '-f', 'raw', '-F', 'qcow2', rawFile, qcow2File)).toContain('Images are identical');
  });
});

// Parallels images: headers as qemu-img makes them, and damaged ones checked and repaired as it does.
import { expect, it } from 'vitest';
import { startAsync } from '../../src/block/co.ts';
import type { CheckFix, CheckResult } from '../../src/block/driver.ts';
import { parallels } from '../../src/block/format/parallels/driver.ts';
import { FIELD, IN_USE } from '../../src/block/format/parallels/layout.ts';
import { checkImage } from '../../src/block/image/check.ts';
import { describeWithQemu, qemuCheck, qemuImg, qemuIo, TemporaryFolder } from '../support/qemu.ts';
import { equalBytes, patternedBytes } from '../support/random.ts';
import { LastingStorage, makeImage, openDisk } from '../support/scenario.ts';
import { SimulatedStorage } from '../support/simulated-storage.ts';

const MiB = 2 ** 20;
const CLUSTER = 4096;
const BAT = 64;

async function sample(): Promise<Uint8Array> {
  const content = await makeImage(parallels, { size: MiB, cluster_size: CLUSTER });
  const storage = new LastingStorage({ initial: content });
  const { graph, disk } = await openDisk(parallels, storage);
  for (const cluster of [0, 1, 5, 100, 200]) {
    await disk.write(cluster * CLUSTER, patternedBytes(cluster + 1, 0, CLUSTER).slice());
  }
  await graph.close(disk);
  return storage.content.toBytes();
}

const damages: Readonly<Record<string, (view: DataView, bytes: Uint8Array) => Uint8Array | void>> = {
  nothing: () => undefined,
  'an entry behind the end': (view) => view.setUint32(BAT + 4, 5000, true),
  'several entries behind the end': (view) => {
    for (const entry of [2, 5, 90]) view.setUint32(BAT + entry * 4, 5000 + entry, true);
  },
  'an entry that is lost': (view) => view.setUint32(BAT, 0, true),
  'the last entry lost': (view) => view.setUint32(BAT + 200 * 4, 0, true),
  'clusters in another order': (view) => {
    const first = view.getUint32(BAT, true);
    view.setUint32(BAT, view.getUint32(BAT + 4, true), true);
    view.setUint32(BAT + 4, first, true);
  },
  'a tail': (_view, bytes) => {
    const longer = new Uint8Array(bytes.length + 3 * CLUSTER + 512);
    longer.set(bytes);
    return longer;
  },
  'a mark that it was not closed': (view) => view.setUint32(FIELD.inUse, IN_USE, true),
};

const counts = (result: CheckResult): Record<string, number> => ({
  corruptions: result.corruptions,
  leaks: result.leaks,
  'check-errors': result.checkErrors,
  'corruptions-fixed': result.corruptionsFixed,
  'leaks-fixed': result.leaksFixed,
  'image-end-offset': result.imageEndOffset,
  'total-clusters': result.totalClusters,
  'allocated-clusters': result.allocatedClusters,
  'fragmented-clusters': result.fragmentedClusters,
});

async function checkOurs(bytes: Uint8Array, fix: CheckFix) {
  const storage = new LastingStorage({ initial: bytes, readOnly: fix === 'none' });
  const options = fix === 'none' ? { 'read-only': true } : {};
  const { graph, disk } = await openDisk(parallels, storage, options, undefined, { check: true });
  const first = await startAsync(checkImage(graph, disk.node, fix));
  // qemu-img looks again at what it has mended.
  const mended = first.corruptionsFixed + first.leaksFixed > 0;
  const second = mended ? await startAsync(checkImage(graph, disk.node, 'none')) : first;
  await graph.close(disk);
  const { corruptionsFixed, leaksFixed, findings } = first;
  return { counts: counts({ ...second, corruptionsFixed, leaksFixed }), after: storage.content.toBytes(), findings };
}

async function checkTheirs(path: string, repair?: 'all'): Promise<{ counts: object; stderr: string }> {
  const { counts: found, stderr } = await qemuCheck(path, 'parallels', repair);
  if (found === undefined) throw new Error(stderr);
  const zero = { corruptions: 0, leaks: 0, 'corruptions-fixed': 0, 'leaks-fixed': 0, 'fragmented-clusters': 0 };
  const numbers = Object.entries({ ...zero, ...found }).filter(([, value]) => typeof value === 'number');
  return { counts: Object.fromEntries(numbers), stderr };
}

describeWithQemu('Parallels images', () => {
  it.each([
    [512, MiB],
    [10 * MiB, MiB],
    [10 * MiB + 512, 65_536],
    [3000, 512],
    [2 ** 40, MiB],
    [100 * MiB, 63 * 512],
  ])('are made as qemu-img makes them: %i bytes in clusters of %i', async (size, cluster) => {
    using folder = new TemporaryFolder();
    const path = folder.file('theirs');
    await qemuImg('create', '-q', '-f', 'parallels', '-o', `cluster_size=${cluster}`, path, String(size));
    const ours = await makeImage(parallels, { size, cluster_size: cluster });
    expect(equalBytes(ours.toBytes(), folder.read('theirs'))).toBe(true);
  });

  it.each(Object.keys(damages))('are checked and mended as qemu-img does: %s', async (name) => {
    using folder = new TemporaryFolder();
    const bytes = await sample();
    const damaged = damages[name]!(new DataView(bytes.buffer), bytes) ?? bytes;
    const path = folder.write('damaged', damaged);
    const found = await checkOurs(damaged, 'none');
    const theirs = await checkTheirs(path);
    expect(found.counts).toMatchObject(theirs.counts);
    for (const { message } of found.findings) expect(theirs.stderr).toContain(message);
    expect(equalBytes(found.after, damaged)).toBe(true);

    const mended = await checkOurs(damaged, 'all');
    expect(mended.counts).toMatchObject((await checkTheirs(path, 'all')).counts);
    // QEMU 7.2 makes the file reach up to where entries led that it has taken out.
    expect(equalBytes(mended.after, folder.read('damaged').subarray(0, mended.after.length))).toBe(true);
  });

  it('with two entries for one cluster get a copy for the second, which QEMU 7.2 does not see', async () => {
    using folder = new TemporaryFolder();
    const bytes = await sample();
    const view = new DataView(bytes.buffer);
    view.setUint32(BAT + 5 * 4, view.getUint32(BAT, true), true);
    const found = await checkOurs(bytes, 'none');
    expect(found.counts).toMatchObject({ corruptions: 1 });
    const mended = await checkOurs(bytes, 'all');
    expect(mended.counts).toMatchObject({ corruptions: 0, 'corruptions-fixed': 1 });
    const path = folder.write('mended', mended.after);
    await qemuIo(path, 'parallels', `write -P 9 0 ${CLUSTER}`);
    const storage = new SimulatedStorage({ initial: folder.read('mended'), readOnly: true });
    const { graph, disk } = await openDisk(parallels, storage, { 'read-only': true });
    const buffer = new Uint8Array(CLUSTER);
    await disk.read(5 * CLUSTER, buffer);
    await graph.close(disk);
    expect(equalBytes(buffer, patternedBytes(1, 0, CLUSTER))).toBe(true);
  });

  it('of the older kind are read and written by both', async () => {
    using folder = new TemporaryFolder();
    const bytes = new Uint8Array(512);
    const view = new DataView(bytes.buffer);
    bytes.set(new TextEncoder().encode('WithoutFreeSpace'));
    view.setUint32(FIELD.version, 2, true);
    view.setUint32(FIELD.tracks, 63, true);
    view.setUint32(FIELD.batEntries, 4, true);
    view.setUint32(FIELD.nbSectors, 4 * 63, true);
    view.setUint32(FIELD.dataOff, 1, true);
    const storage = new LastingStorage({ initial: bytes });
    const { graph, disk } = await openDisk(parallels, storage);
    await disk.write(40_000, new Uint8Array(3000).fill(7));
    await graph.close(disk);
    const path = folder.write('old', storage.content);
    await qemuIo(path, 'parallels', 'read -P 7 40000 3000', 'read -P 0 0 40000', 'write -P 8 0 512');
    const again = await openDisk(parallels, new LastingStorage({ initial: folder.read('old') }), { 'read-only': true });
    const found = new Uint8Array(again.disk.length);
    await again.disk.read(0, found);
    await again.graph.close(again.disk);
    expect([found[0], found[511], found[512], found[40_000], found[43_000]]).toEqual([8, 8, 0, 7, 0]);
  });
});

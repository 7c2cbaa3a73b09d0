// Damaged QED images: what this project's check counts and mends is what qemu-img counts and mends.
import { expect, it } from 'vitest';
import { startAsync } from '../../src/block/co.ts';
import type { CheckFix, CheckResult } from '../../src/block/driver.ts';
import { qed } from '../../src/block/format/qed/driver.ts';
import { checkImage } from '../../src/block/image/check.ts';
import { describeWithQemu, qemuCheck, TemporaryFolder } from '../support/qemu.ts';
import { patternedBytes } from '../support/random.ts';
import { LastingStorage, makeImage, openDisk } from '../support/scenario.ts';

const CLUSTER = 4096;
const L1 = CLUSTER;

async function sample(): Promise<Uint8Array> {
  const content = await makeImage(qed, { size: 16 * 2 ** 20, cluster_size: CLUSTER, table_size: 2 });
  const storage = new LastingStorage({ initial: content });
  const { graph, disk } = await openDisk(qed, storage);
  for (const cluster of [0, 1, 5, 1100, 2500]) {
    await disk.write(cluster * CLUSTER, patternedBytes(cluster + 1, 0, CLUSTER).slice());
  }
  await disk.writeZeroes(7 * CLUSTER, CLUSTER);
  await graph.close(disk);
  return storage.content.toBytes();
}

class Damaged {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get(at: number): number {
    return Number(this.#view.getBigUint64(at, true));
  }

  set(at: number, value: number): void {
    this.#view.setBigUint64(at, BigInt(value), true);
  }

  l2(table: number, entry: number): number {
    return this.get(L1 + table * 8) + entry * 8;
  }
}

const damages: Readonly<Record<string, (image: Damaged) => Uint8Array | void>> = {
  nothing: () => undefined,
  'an L2 entry behind the end': (image) => image.set(image.l2(0, 1), image.bytes.length),
  'an L2 entry between clusters': (image) => image.set(image.l2(0, 1), image.get(image.l2(0, 1)) + 512),
  'an L2 entry to the header': (image) => image.set(image.l2(1, 76), 1024 * 1024 * 1024 * 1024),
  'two entries for one cluster': (image) => image.set(image.l2(0, 5), image.get(image.l2(0, 0))),
  'an L1 entry behind the end': (image) => image.set(L1 + 8, image.bytes.length + CLUSTER),
  'an L1 entry between clusters': (image) => image.set(L1 + 16, image.get(L1 + 16) + 8),
  'a lost cluster': (image) => image.set(image.l2(0, 0), 0),
  'a lost table': (image) => image.set(L1, 0),
  'a mark that it was not closed': (image) => image.set(16, 2),
};

const counts = (result: CheckResult): Record<string, number> => ({
  corruptions: result.corruptions,
  leaks: result.leaks,
  'check-errors': result.checkErrors,
  'corruptions-fixed': result.corruptionsFixed,
  'total-clusters': result.totalClusters,
  'allocated-clusters': result.allocatedClusters,
  'fragmented-clusters': result.fragmentedClusters,
});

async function checkOurs(bytes: Uint8Array, fix: CheckFix): Promise<{ counts: object; after: Uint8Array }> {
  const storage = new LastingStorage({ initial: bytes, readOnly: fix === 'none' });
  const { graph, disk } = await openDisk(qed, storage, fix === 'none' ? { 'read-only': true } : {}, undefined, {
    check: true,
  });
  const first = await startAsync(checkImage(graph, disk.node, fix));
  // qemu-img looks again at what it has mended.
  const second = first.corruptionsFixed > 0 ? await startAsync(checkImage(graph, disk.node, 'none')) : first;
  await graph.close(disk);
  const { corruptionsFixed } = first;
  return { counts: counts({ ...second, corruptionsFixed }), after: storage.content.toBytes() };
}

async function checkTheirs(path: string, repair?: 'all'): Promise<object> {
  const result = await qemuCheck(path, 'qed', repair);
  if (result.counts === undefined) throw new Error(result.stderr);
  const { 'image-end-offset': _end, ...rest } = result.counts;
  const known = { corruptions: 0, leaks: 0, 'corruptions-fixed': 0, 'allocated-clusters': 0, 'fragmented-clusters': 0 };
  const numbers = Object.entries({ ...known, ...rest }).filter(([, value]) => typeof value === 'number');
  return Object.fromEntries(numbers);
}

describeWithQemu('checks of QED', () => {
  it.each(Object.keys(damages))('count and mend as qemu-img does: %s', async (name) => {
    using folder = new TemporaryFolder();
    const image = new Damaged(await sample());
    damages[name]!(image);
    const path = folder.write('damaged', image.bytes);
    const found = await checkOurs(image.bytes, 'none');
    expect(found.counts).toMatchObject(await checkTheirs(path));
    expect(found.after).toEqual(image.bytes);

    const mended = await checkOurs(image.bytes, 'all');
    expect(mended.counts).toMatchObject(await checkTheirs(path, 'all'));
    expect(mended.after).toEqual(folder.read('damaged'));
  });
});

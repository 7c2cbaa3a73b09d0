/** On the way to level 0.10 the zero clusters of snapshots are filled: whatever fails or is cut off meanwhile, none of them changes. */
import { describe, expect, it } from 'vitest';
import { startAsync } from '../../../../src/block/co.ts';
import type { Storage } from '../../../../src/block/driver.ts';
import { amendImage } from '../../../../src/block/image/amend.ts';
import { createSnapshot, loadSnapshot } from '../../../../src/block/image/snapshot.ts';
import { FailingStorage } from '../../../support/failing-storage.ts';
import { powerCuts } from '../../../support/power-cut.ts';
import { checkFile, expectSound } from '../../../support/qcow2-check.ts';
import { makeQcow2, openQcow2, readDisk } from '../../../support/qcow2-session.ts';
import { equalBytes, patternedBytes, Random } from '../../../support/random.ts';
import { LastingStorage } from '../../../support/scenario.ts';
import { SimulatedStorage } from '../../../support/simulated-storage.ts';
import type { SparseBytes } from '../../../support/sparse-bytes.ts';

const SIZE = 96 * 1024;
const base = patternedBytes(9, 0, SIZE).slice();
const baseStorage = (): Storage => new SimulatedStorage({ initial: base, readOnly: true });

/** Two snapshots share tables with zero clusters, of which some have space reserved. */
async function image(): Promise<SparseBytes> {
  const create = { size: SIZE, cluster_size: 512, backing_file: 'base', backing_fmt: 'raw' };
  const storage = new LastingStorage({ initial: await makeQcow2(create) });
  const { graph, disk } = await openQcow2(storage, {}, baseStorage());
  await disk.write(0, patternedBytes(1, 0, 8192).slice());
  await disk.writeZeroes(2048, 1024);
  await disk.writeZeroes(40_960, 2048);
  for (const name of ['one', 'two']) await startAsync(createSnapshot(disk.node, { name }));
  await disk.write(2048, patternedBytes(2, 2048, 512).slice());
  await disk.writeZeroes(6144, 512);
  await graph.close(disk);
  return storage.content;
}

async function contents(content: SparseBytes): Promise<Uint8Array[]> {
  const found: Uint8Array[] = [];
  for (const name of [undefined, 'one', 'two']) {
    const { graph, disk } = await openQcow2(
      new LastingStorage({ initial: content }),
      { 'read-only': true },
      baseStorage(),
    );
    if (name !== undefined) await startAsync(loadSnapshot(disk.node, name));
    found.push(await readDisk(disk));
    await graph.close(disk);
  }
  return found;
}

async function downgrade(storage: Storage): Promise<void> {
  const { graph, disk } = await openQcow2(storage, {}, baseStorage());
  try {
    await startAsync(amendImage(graph, disk.node, { compat: '0.10' }));
  } finally {
    await graph.close(disk);
  }
}

async function expectUnchanged(content: SparseBytes, wanted: readonly Uint8Array[], what: string): Promise<void> {
  const found = await contents(content);
  found.forEach((bytes, index) => expect(equalBytes(bytes, wanted[index]!), `${what}, content ${index}`).toBe(true));
  // Opening it for writing corrects what the dirty bit speaks of.
  const storage = new LastingStorage({ initial: content });
  const { graph, disk } = await openQcow2(storage, {}, baseStorage());
  await graph.close(disk);
  expectSound(await checkFile(storage.content), what, 'allowed');
}

describe('zero clusters of snapshots on the way to level 0.10', () => {
  it('are filled, and nothing is lost or left over', async () => {
    const before = await image();
    const wanted = await contents(before);
    const storage = new LastingStorage({ initial: before });
    await downgrade(storage);
    expectSound(await checkFile(storage.content), 'downgraded', 'forbidden');
    await expectUnchanged(storage.content, wanted, 'downgraded');
  });

  it('read the same when the n-th request fails', async () => {
    const before = await image();
    const wanted = await contents(before);
    for (let nth = 1; ; nth += 3) {
      const storage = new LastingStorage({ initial: before });
      const failing = new FailingStorage(storage, { verbs: ['write', 'flush'], nth, times: 1, kind: 'io' });
      const failed = await downgrade(failing).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failing.failures === 0) break;
      expect(failed, `request ${nth}`).toBeDefined();
      await expectUnchanged(storage.content, wanted, `request ${nth}`);
    }
  });

  it('read the same after a power cut', async () => {
    const before = await image();
    const wanted = await contents(before);
    const storage = new LastingStorage({ initial: before });
    await downgrade(storage);
    let cuts = 0;
    for (const cut of powerCuts(storage, { random: new Random(1), samples: 1, stride: 3 })) {
      await expectUnchanged(cut.content, wanted, `power cut after event ${cut.position}, ${cut.description}`);
      cuts++;
    }
    expect(cuts).toBeGreaterThan(10);
  });
});

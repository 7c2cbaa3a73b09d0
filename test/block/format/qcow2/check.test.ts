import { describe, expect, it } from 'vitest';
import { start, startAsync } from '../../../../src/block/co.ts';
import type { CheckFix, CheckResult, Storage } from '../../../../src/block/driver.ts';
import { BlockError } from '../../../../src/block/error.ts';
import { checkImage, repairDirty } from '../../../../src/block/format/qcow2/check.ts';
import { decodeHeader, readHeader } from '../../../../src/block/format/qcow2/header.ts';
import { createSnapshot } from '../../../../src/block/image/snapshot.ts';
import { CountingStorage } from '../../../support/counting-storage.ts';
import { FailingStorage } from '../../../support/failing-storage.ts';
import { powerCuts } from '../../../support/power-cut.ts';
import { createQcow2 } from '../../../support/qcow2-builder.ts';
import { harmlessDamages, Qcow2File, snapshotDamages } from '../../../support/qcow2-damage.ts';
import { makeQcow2, openQcow2 } from '../../../support/qcow2-session.ts';
import { equalBytes, Random } from '../../../support/random.ts';
import { LastingStorage } from '../../../support/scenario.ts';
import { SimulatedStorage } from '../../../support/simulated-storage.ts';
import { SparseBytes } from '../../../support/sparse-bytes.ts';
import { StorageChild } from '../../../support/storage-child.ts';

const COPIED = 1n << 63n;

async function check(storage: Storage, fix: CheckFix, onReport?: () => void): Promise<CheckResult> {
  const child = new StorageChild(storage, await storage.getLength());
  const header = await start(readHeader(child));
  const progress = { report: () => onReport?.() };
  return (await start(checkImage(child, header, fix, { progress }))).result;
}

/** A small image in which all clusters are allocated. */
async function fullImage(options: Readonly<Record<string, unknown>> = {}): Promise<Qcow2File> {
  return new Qcow2File(
    await createQcow2({ size: 128 * 1024, cluster_size: 1024, preallocation: 'metadata', ...options }),
  );
}

function firstDataCluster(file: Qcow2File): number {
  const [first = 0] = file.usedL2();
  return Number(file.entry(first) & 0x00ff_ffff_ffff_fe00n) / file.clusterSize;
}

describe('a sound image', () => {
  it('is looked at without a change, and with reads that go by its tables, not by its data', async () => {
    const file = await fullImage({ size: 8 * 2 ** 20, cluster_size: 65_536 });
    const counting = new CountingStorage(new SimulatedStorage({ initial: file.bytes }));
    const result = await check(counting, 'all');
    expect(result).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0, allocatedClusters: 128, findings: [] });
    expect(counting.counts.writes).toBe(0);
    expect(counting.counts.reads).toBeLessThan(12);
  });

  it('has each of its tables read once', async () => {
    const file = await fullImage({ size: 2 ** 20, cluster_size: 512 });
    const counting = new CountingStorage(new SimulatedStorage({ initial: file.bytes }));
    expect(await check(counting, 'none')).toMatchObject({ allocatedClusters: 2048, findings: [] });
    // 32 L2 tables, and a refcount block for each 256 clusters.
    expect(counting.counts.reads).toBeLessThan(32 + 9 + 12);
  });

  it('is the same over a storage that makes one wait', async () => {
    const file = await fullImage();
    file.changeRefcount(firstDataCluster(file), 1);
    const waiting = new SimulatedStorage({ initial: file.bytes, random: new Random(4) });
    const immediate = new SimulatedStorage({ initial: file.bytes });
    expect(await check(waiting, 'all')).toEqual(await check(immediate, 'all'));
    expect(equalBytes(waiting.content.toBytes(), immediate.content.toBytes())).toBe(true);
  });

  it('ends when the caller gives up', async () => {
    const file = await fullImage();
    const storage = new SimulatedStorage({ initial: file.bytes });
    const giveUp = (): void => {
      throw new BlockError('aborted', 'enough');
    };
    await expect(check(storage, 'none', giveUp)).rejects.toMatchObject({ kind: 'aborted' });
  });

  it('reports what the storage reports', async () => {
    const file = await fullImage();
    for (let nth = 2; ; nth++) {
      const storage = new SimulatedStorage({ initial: file.bytes });
      const failing = new FailingStorage(storage, { verbs: ['read'], nth, times: 1, kind: 'io' });
      const outcome = check(failing, 'none');
      if (nth > 20) {
        await outcome;
        expect(failing.failures).toBe(0);
        break;
      }
      await outcome.then(
        () => expect(failing.failures).toBe(0),
        (error: unknown) => expect(error).toMatchObject({ kind: 'io' }),
      );
    }
  });
});

describe('repairing', () => {
  it('clears the dirty and corrupt bits when all is mended, and not before', async () => {
    const file = await fullImage();
    file.setByte(79, 3);
    file.changeRefcount(firstDataCluster(file), -1);
    const storage = new SimulatedStorage({ initial: file.bytes });
    await check(storage, 'leaks');
    expect(decodeHeader(storage.content.toBytes(), 1e6)?.incompatibleFeatures).toBe(3n);
    await check(storage, 'all');
    expect(decodeHeader(storage.content.toBytes(), 1e6)?.incompatibleFeatures).toBe(0n);
    const [, second = 0] = file.usedL2();
    file.change(second, () => COPIED | (1n << 40n));
    const broken = new SimulatedStorage({ initial: file.bytes });
    expect((await check(broken, 'all')).corruptions).toBe(1);
    expect(decodeHeader(broken.content.toBytes(), 1e6)?.incompatibleFeatures).toBe(3n);
  });

  it('corrects the counts of an image that was not closed where they are, without new blocks', async () => {
    const file = await fullImage({ lazy_refcounts: true });
    file.setByte(79, 1);
    for (const cluster of [0, 1, 2, 3].map((add) => firstDataCluster(file) + add)) file.changeRefcount(cluster, -1);
    const storage = new SimulatedStorage({ initial: file.bytes });
    const child = new StorageChild(storage, storage.content.length);
    const header = await start(repairDirty(child, await start(readHeader(child))));
    expect(header.incompatibleFeatures).toBe(0n);
    expect(storage.content.length).toBe(file.bytes.length);
    expect(await check(storage, 'none')).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
  });

  it('says what is left when an image that was not closed cannot be repaired', async () => {
    const file = await fullImage();
    file.setByte(79, 1);
    const [first = 0] = file.usedL2();
    file.change(first, () => COPIED | (1n << 40n));
    const child = new StorageChild(new SimulatedStorage({ initial: file.bytes }), file.bytes.length);
    const header = await start(readHeader(child));
    const repaired = (async () => start(repairDirty(child, header)))();
    await expect(repaired).rejects.toMatchObject({
      kind: 'corrupt',
      message: expect.stringContaining('0x10000000000'),
    });
  });

  it('with leaks alone changes nothing when the refcount structures are broken', async () => {
    const file = await fullImage();
    harmlessDamages['refcountBlockTwice']?.(file, new Random(1));
    const storage = new SimulatedStorage({ initial: file.bytes });
    expect((await check(storage, 'leaks')).checkErrors).toBe(1);
    expect(equalBytes(storage.content.toBytes(), file.bytes)).toBe(true);
  });

  it.each([1, 2, 4, 8, 16, 32, 64])('builds refcounts of %i bits anew from nothing', async (refcount_bits) => {
    const file = await fullImage({ refcount_bits });
    for (const at of file.usedRefcountTable()) file.change(at, () => 0n);
    const storage = new SimulatedStorage({ initial: file.bytes });
    const found = await check(storage, 'none');
    const repaired = await check(storage, 'all');
    expect(repaired).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
    expect(repaired.corruptionsFixed).toBeGreaterThan(100);
    expect(found.corruptions).toBeGreaterThan(repaired.corruptionsFixed);
    expect(await check(storage, 'none')).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
  });

  it('that is cut off by a power cut can be repeated, and the tables are never lost', async () => {
    const random = new Random(77);
    for (const [name, damage] of Object.entries(harmlessDamages)) {
      const file = await fullImage({ size: 64 * 1024, refcount_bits: random.pick([1, 16]) });
      for (let times = 0; times < 3; times++) damage(file, random);
      const storage = new SimulatedStorage({ initial: file.bytes });
      await check(storage, 'all');
      let cuts = 0;
      for (const cut of powerCuts(storage, { random, samples: 3 })) {
        const after = new SimulatedStorage({ initial: cut.content });
        const result = await check(after, 'all');
        expect(result, `${name}, ${cut.description}`).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
        expect(result.allocatedClusters, name).toBe(64);
        cuts++;
      }
      expect(cuts, name).toBeGreaterThan(storage.log.length > 0 ? 2 : 0);
    }
  });

  it.each(['snapshotOneTooMany', 'snapshotExtraShort'])(
    'that is cut off leaves an image that takes writes, also where the snapshot table has moved: %s',
    async (name) => {
      const made = new LastingStorage({ initial: await makeQcow2({ size: 64 * 1024, cluster_size: 512 }) });
      const filled = await openQcow2(made);
      await filled.disk.write(0, new Uint8Array(8192).fill(1));
      await startAsync(createSnapshot(filled.disk.node, { name: 'a' }));
      await filled.graph.close(filled.disk);
      const file = new Qcow2File(made.content.toBytes());
      snapshotDamages[name]!(file, new Random(1));
      const storage = new SimulatedStorage({ initial: file.bytes });
      await check(storage, 'all');
      for (const cut of powerCuts(storage, { random: new Random(5), samples: 3 })) {
        const after = new LastingStorage({ initial: cut.content });
        const { graph, disk } = await openQcow2(after);
        await disk.write(0, new Uint8Array(64 * 1024).fill(2));
        await graph.close(disk);
        // What was broken may be broken still, and nothing else is.
        const { findings } = await check(after, 'none');
        const others = findings.filter(({ kind, message }) => kind !== 'leak' && !message.endsWith('is incomplete'));
        expect(others, cut.description).toEqual([]);
      }
    },
  );

  it('that fails in the middle reports it and can be repeated', async () => {
    const file = await fullImage();
    for (const at of file.usedRefcountTable()) file.change(at, () => 0n);
    for (let nth = 1; ; nth++) {
      const storage = new SimulatedStorage({ initial: file.bytes });
      const failing = new FailingStorage(storage, { verbs: ['write', 'flush'], nth, times: 1, kind: 'no-space' });
      const failed = await check(failing, 'all').then(
        () => false,
        (error: unknown) => error instanceof BlockError && error.kind === 'no-space',
      );
      expect(failed).toBe(failing.failures === 1);
      expect(await check(storage, 'all')).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
      if (!failed) break;
    }
  });
});

describe('hostile images', () => {
  const seconds = async (work: () => Promise<unknown>): Promise<number> => {
    const began = performance.now();
    await work();
    return (performance.now() - began) / 1000;
  };

  it('with a million L1 entries to one table take no longer than their file does', async () => {
    const file = new Qcow2File(await createQcow2({ size: 2 ** 35, cluster_size: 512 }));
    const table = BigInt(Math.ceil(file.bytes.length / 512) * 512);
    const longer = new Qcow2File(new Uint8Array(Number(table) + 512 * 65));
    longer.bytes.set(file.bytes);
    for (let index = 0; index < file.l1Entries; index++) longer.change(file.l1Offset + index * 8, () => COPIED | table);
    for (let index = 0; index < 64; index++) {
      longer.change(Number(table) + index * 8, () => COPIED | (table + BigInt((index + 1) * 512)));
    }
    expect(file.l1Entries).toBeGreaterThan(1_000_000);
    let result: CheckResult | undefined;
    const took = await seconds(async () => {
      result = await check(new SimulatedStorage({ initial: longer.bytes }), 'all');
    });
    expect(result?.corruptions).toBeGreaterThan(0);
    expect(result?.findings.length).toBe(1000);
    expect(took).toBeLessThan(20);
  });

  it('with tables that lead to themselves and to each other are looked at once', async () => {
    const file = await fullImage();
    for (const at of file.usedL1()) file.change(at, () => COPIED | BigInt(file.l1Offset));
    for (let index = 0; index < file.clusterSize / 8; index++) {
      file.change(file.l1Offset + index * 8, () => COPIED | BigInt(file.l1Offset));
    }
    const result = await check(new SimulatedStorage({ initial: file.bytes }), 'all');
    expect(result.corruptions + result.checkErrors).toBeGreaterThan(0);
  });

  it('with 65,536 snapshots that share one L1 table are no more work than one', async () => {
    const file = new Qcow2File(await createQcow2({ size: 2 ** 30, cluster_size: 512 }));
    const offset = Math.ceil(file.bytes.length / 512) * 512;
    const longer = new Qcow2File(new Uint8Array(offset + 65_536 * 40));
    longer.bytes.set(file.bytes);
    longer.setUint32(60, 65_536);
    longer.change(64, () => BigInt(offset));
    for (let index = 0; index < 65_536; index++) {
      longer.change(offset + index * 40, () => BigInt(file.l1Offset));
      longer.setUint32(offset + index * 40 + 8, file.l1Entries);
    }
    const took = await seconds(async () => {
      const result = await check(new SimulatedStorage({ initial: longer.bytes }), 'none');
      expect(result.corruptions).toBeGreaterThan(60_000);
    });
    expect(took).toBeLessThan(10);
  });

  it('of a length that no memory could count are refused', async () => {
    const content = SparseBytes.from((await fullImage()).bytes);
    content.truncate(2 ** 50);
    const storage = new SimulatedStorage({ initial: content });
    await expect(check(storage, 'none')).rejects.toMatchObject({ kind: 'unsupported' });
  });

  it('cut off anywhere give findings or a BlockError', async () => {
    const { bytes } = await fullImage({ size: 16 * 1024 });
    for (let length = 1; length < bytes.length; length += 97) {
      const storage = new SimulatedStorage({ initial: bytes.slice(0, length) });
      const outcome = await check(storage, 'all').catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome).toBeInstanceOf(BlockError);
    }
  });
});

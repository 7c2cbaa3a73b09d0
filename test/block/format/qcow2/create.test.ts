import { describe, expect, it } from 'vitest';
import { startAsync } from '../../../../src/block/co.ts';
import { BlockError } from '../../../../src/block/error.ts';
import { create } from '../../../../src/block/format/qcow2/create.ts';
import { createOptions } from '../../../../src/block/format/qcow2/create-options.ts';
import { decodeHeader } from '../../../../src/block/format/qcow2/header.ts';
import { parseOptions } from '../../../../src/block/options.ts';
import { bareCreateContext } from '../../../support/driver-contexts.ts';
import { CountingStorage } from '../../../support/counting-storage.ts';
import { FailingStorage } from '../../../support/failing-storage.ts';
import { powerCuts } from '../../../support/power-cut.ts';
import { checkFile, expectSound } from '../../../support/qcow2-check.ts';
import { Random } from '../../../support/random.ts';
import { SimulatedStorage } from '../../../support/simulated-storage.ts';
import type { Storage } from '../../../../src/block/driver.ts';
import { StorageChild } from '../../../support/storage-child.ts';

async function createIn(
  storage: Storage,
  given: Readonly<Record<string, unknown>>,
  onReport?: () => void,
): Promise<void> {
  const options = parseOptions(createOptions, given, "format 'qcow2'");
  const child = new StorageChild(storage, await storage.getLength());
  await startAsync(create(child, options, { ...bareCreateContext, progress: { report: () => onReport?.() } }));
}

const given = { size: 100 * 1024, cluster_size: 512, preallocation: 'metadata', refcount_bits: 64 };

describe('creating a qcow2 image', () => {
  it('leaves a sound image or none when the power is cut, also over an older image', async () => {
    for (const initial of [undefined, 'an older one'] as const) {
      const older = new SimulatedStorage();
      if (initial !== undefined) await createIn(older, { size: 64 * 1024, cluster_size: 1024 });
      const storage = new SimulatedStorage({ initial: older.content });
      await createIn(storage, given);
      for (const { content, description, position } of powerCuts(storage, { random: new Random(1), samples: 4 })) {
        const what = `${initial ?? 'nothing'} before, event ${position}, ${description}`;
        let isImage: boolean;
        try {
          isImage = decodeHeader(content.toBytes(), content.length) !== undefined;
        } catch (error) {
          expect(error, what).toBeInstanceOf(BlockError);
          isImage = false;
        }
        if (isImage) expectSound(await checkFile(content), what, 'forbidden');
      }
    }
  });

  it('reports every failure of the storage, and makes no image then', async () => {
    for (let nth = 1; ; nth++) {
      const storage = new SimulatedStorage();
      const failing = new FailingStorage(storage, {
        verbs: ['write', 'truncate', 'flush'],
        nth,
        times: 1,
        kind: 'no-space',
      });
      const error: unknown = await createIn(failing, given).catch((reason: unknown) => reason);
      if (failing.failures === 0) {
        expect(error).toBeUndefined();
        break;
      }
      expect(error).toMatchObject({ kind: 'no-space' });
    }
  });

  it('ends when the caller gives up, without an image', async () => {
    const storage = new SimulatedStorage();
    const giveUp = (): void => {
      throw new BlockError('aborted', 'enough');
    };
    await expect(createIn(storage, given, giveUp)).rejects.toMatchObject({ kind: 'aborted' });
    expect(() => decodeHeader(storage.content.toBytes(), storage.content.length)).toThrow(BlockError);
  });

  it('costs a few large writes, whatever the size', async () => {
    const counting = new CountingStorage(new SimulatedStorage());
    await createIn(counting, { size: 2 ** 40 });
    expect(counting.counts.writes + counting.counts.zeroes).toBeLessThanOrEqual(4);
    expect(counting.counts.flushes).toBe(2);
  });

  it('fills the file with zeroes where all of it is asked for', async () => {
    const storage = new SimulatedStorage({ zeroes: false });
    await createIn(storage, { ...given, preallocation: 'full' });
    const { result } = await checkFile(storage.content);
    expect(result.allocatedClusters).toBe(200);
    const written = storage.log.reduce(
      (sum, event) => sum + (event.kind === 'begin' && event.change.kind === 'write' ? event.change.data.length : 0),
      0,
    );
    expect(written).toBe(storage.content.length);
  });
});

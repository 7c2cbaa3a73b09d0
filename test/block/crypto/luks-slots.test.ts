/** Passphrases are added and taken away: whatever dies when, the image is never locked up. */
import { expect, it } from 'vitest';
import { startAsync } from '../../../src/block/co.ts';
import type { Storage } from '../../../src/block/driver.ts';
import { BlockError } from '../../../src/block/error.ts';
import { luks } from '../../../src/block/format/luks/driver.ts';
import { LuksVolume } from '../../../src/block/crypto/luks/volume.ts';
import { amendImage } from '../../../src/block/image/amend.ts';
import { TEST_PASSPHRASE, TEST_SECRET } from '../../support/driver-contexts.ts';
import { FailingStorage } from '../../support/failing-storage.ts';
import { powerCuts } from '../../support/power-cut.ts';
import { Random } from '../../support/random.ts';
import { LastingStorage, makeImage, openDisk } from '../../support/scenario.ts';
import { SimulatedStorage } from '../../support/simulated-storage.ts';
import type { SparseBytes } from '../../support/sparse-bytes.ts';
import { StorageChild } from '../../support/storage-child.ts';

const OTHER = new TextEncoder().encode('another passphrase');
const create = { size: 4096, 'key-secret': TEST_SECRET, 'iter-time': 1, 'cipher-alg': 'aes-128', 'cipher-mode': 'cbc' };

async function amend(
  storage: Storage,
  options: Readonly<Record<string, unknown>>,
  settings: { force?: boolean } = {},
): Promise<void> {
  const { graph, disk } = await openDisk(luks, storage, { 'key-secret': TEST_SECRET });
  graph.secrets.add('other', OTHER);
  try {
    await startAsync(amendImage(graph, disk.node, options, settings));
  } finally {
    await graph.close(disk);
  }
}

/** Which of the two passphrases open an image. */
async function opens(content: SparseBytes): Promise<{ first: boolean; other: boolean }> {
  const file = new StorageChild(new SimulatedStorage({ initial: content }), content.length);
  const volume = await startAsync(LuksVolume.read(file));
  const tries = async (passphrase: Uint8Array): Promise<boolean> => {
    try {
      await startAsync(volume.unlock(passphrase));
      return true;
    } catch (error) {
      if (error instanceof BlockError && error.kind === 'wrong-passphrase') return false;
      throw error;
    }
  };
  return { first: await tries(TEST_PASSPHRASE), other: await tries(OTHER) };
}

const twoSlots = async (keyslot: number): Promise<SparseBytes> => {
  const storage = new LastingStorage({ initial: await makeImage(luks, create) });
  await amend(storage, { state: 'active', 'new-secret': 'other', 'iter-time': 1, keyslot });
  return storage.content;
};

it('passphrases are added and taken away', async () => {
  const content = await twoSlots(3);
  expect(await opens(content)).toEqual({ first: true, other: true });
  const storage = new LastingStorage({ initial: content });
  await amend(storage, { state: 'inactive', 'old-secret': 'other' });
  expect(await opens(storage.content)).toEqual({ first: true, other: false });
});

it.each([
  [
    'the only passphrase',
    { state: 'inactive', 'old-secret': TEST_SECRET },
    'permission',
    /All the active keyslots match/,
  ],
  ['the only slot', { state: 'inactive', keyslot: 0 }, 'permission', /the only active keyslot 0/],
  [
    'an active slot',
    { state: 'active', 'new-secret': 'other', keyslot: 0 },
    'permission',
    /overwrite active keyslot 0/,
  ],
  ['an empty slot', { state: 'inactive', keyslot: 5 }, 'invalid', /already erased/],
  ['a passphrase that is not there', { state: 'inactive', 'old-secret': 'other' }, 'invalid', /No keyslots match/],
  ['nothing', { state: 'inactive' }, 'invalid', /must be given/],
  ['no new passphrase', { state: 'active' }, 'invalid', /'new-secret' is required/],
  ['a slot that there is not', { state: 'active', 'new-secret': 'other', keyslot: 8 }, 'invalid', /between 0 and 7/],
  ['a secret that nobody gave', { state: 'active', 'new-secret': 'nobody' }, 'not-found', /nobody/],
] as const)('refuses to change %s, and nothing is changed', async (_what, options, kind, message) => {
  const storage = new LastingStorage({ initial: await makeImage(luks, create) });
  const before = storage.content.toBytes();
  await expect(amend(storage, options)).rejects.toMatchObject({
    kind,
    message: expect.stringMatching(message) as string,
  });
  expect(storage.content.toBytes()).toEqual(before);
});

it('the last passphrase is taken away when that is forced', async () => {
  const storage = new LastingStorage({ initial: await makeImage(luks, create) });
  await amend(storage, { state: 'inactive', keyslot: 0 }, { force: true });
  expect(await opens(storage.content)).toEqual({ first: false, other: false });
});

// Slot 6 lies across the border of the header's two sectors, slot 7 in the second.
it.each([1, 6, 7])('power cuts while slot %i is filled leave the first passphrase', async (keyslot) => {
  const storage = new LastingStorage({ initial: await makeImage(luks, create) });
  await amend(storage, { state: 'active', 'new-secret': 'other', 'iter-time': 1, keyslot });
  let added = 0;
  for (const { content, description } of powerCuts(storage, { random: new Random(keyslot), samples: 1 })) {
    const { first, other } = await opens(content);
    expect(first, description).toBe(true);
    if (other) added++;
  }
  expect(added).toBeGreaterThan(0);
});

it.each([1, 6, 7])('power cuts while slot %i is emptied leave the first passphrase', async (keyslot) => {
  const storage = new LastingStorage({ initial: await twoSlots(keyslot) });
  await amend(storage, { state: 'inactive', keyslot });
  for (const { content, description } of powerCuts(storage, { random: new Random(keyslot), samples: 1 })) {
    expect((await opens(content)).first, description).toBe(true);
  }
});

it('power cuts while the first passphrase is taken away leave the other', async () => {
  const storage = new LastingStorage({ initial: await twoSlots(6) });
  await amend(storage, { state: 'inactive', 'old-secret': TEST_SECRET });
  for (const { content, description } of powerCuts(storage, { random: new Random(1), samples: 1 })) {
    expect((await opens(content)).other, description).toBe(true);
  }
  expect((await opens(storage.content)).first).toBe(false);
});

it.each(['write', 'flush'] as const)(
  'the n-th %s fails, for every n, and the first passphrase opens the image',
  async (verb) => {
    for (let nth = 1; ; nth++) {
      const storage = new LastingStorage({ initial: await makeImage(luks, create) });
      const failing = new FailingStorage(storage, { verbs: [verb], nth, times: 1, kind: 'io' });
      const outcome = await amend(failing, { state: 'active', 'new-secret': 'other', 'iter-time': 1, keyslot: 6 }).then(
        () => 'done',
        (error: unknown) => (error instanceof BlockError ? error.kind : 'other'),
      );
      expect((await opens(storage.content)).first).toBe(true);
      if (failing.failures === 0) {
        expect(outcome).toBe('done');
        expect(nth).toBeGreaterThan(2);
        return;
      }
      expect(outcome).toBe('io');
    }
  },
);

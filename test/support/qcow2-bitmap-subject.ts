/**
 * qcow2 disks with dirty bitmaps, and such as are amended each time they are opened, for the simulations.
 *
 * The bitmap `all` is there from the beginning. Whatever happened, it says of itself that it may have missed writes, or every byte
 * that is not what it was in the beginning is dirty in it. Where nothing fails, it holds exactly what was written to.
 */
import { startAsync } from '../../src/block/co.ts';
import type { Storage } from '../../src/block/driver.ts';
import { amendImage } from '../../src/block/image/amend.ts';
import { addBitmap, listBitmaps, mergeBitmap, removeBitmap } from '../../src/block/image/bitmap.ts';
import { imageInfo } from '../../src/block/image/info.ts';
import type { GuestDisk } from './guest-run.ts';
import { chooseScenario, qcow2Subject, readOnly, scenarioStorage } from './qcow2-scenario.ts';
import { openQcow2, readDisk } from './qcow2-session.ts';
import { baseStorage, guestDisk, type OpenedDisk, type Scenario, type Subject } from './scenario.ts';
import { SimulatedStorage } from './simulated-storage.ts';
import type { SparseBytes } from './sparse-bytes.ts';

const WEIGHTS = { write: 10, read: 2, zero: 4, discard: 3, flush: 3, reopen: 2 } as const;

/** What was written to since the image was made, by the storage that it is in: granules of `all`. */
const written = new WeakMap<Storage, Set<number>>();

function granularityOf({ create }: Scenario): number {
  return create['cluster_size'] === 512 ? 1024 : 512;
}

export const bitmapSubject: Subject = {
  ...qcow2Subject,
  name: 'qcow2 with bitmaps',
  choose: (random, choice) => {
    const scenario = chooseScenario(random, { ...choice, weights: WEIGHTS });
    return { ...scenario, create: { ...scenario.create, compat: '1.1' } };
  },
  storage: async (scenario, random, content, options) =>
    scenarioStorage(scenario, random, content ?? (await makeWithBitmap(scenario, random)), options),
  open: openWithBitmaps,
  async expectSound(scenario, content, what, leaks) {
    await qcow2Subject.expectSound(scenario, content, what, leaks);
    await expectNothingMissed(scenario, content, what);
  },
};

/** The same for runs in which nothing fails: then `all` is what was written to, and no more. */
export const exactBitmapSubject: Subject = {
  ...bitmapSubject,
  async storage(scenario, random, content, options) {
    const storage = await bitmapSubject.storage(scenario, random, content, options);
    written.set(storage, new Set());
    return storage;
  },
};

async function makeWithBitmap(scenario: Scenario, random: Parameters<typeof scenarioStorage>[1]): Promise<SparseBytes> {
  const storage = await scenarioStorage({ ...scenario, waits: false }, random);
  const { graph, disk } = await openQcow2(storage, scenario.open, baseStorage(scenario));
  addBitmap(disk.node, { name: 'all', granularity: granularityOf(scenario) });
  await graph.close(disk);
  return storage.content;
}

async function openWithBitmaps(scenario: Scenario, storage: Storage): Promise<GuestDisk> {
  const opened = await openQcow2(storage, scenario.open, baseStorage(scenario));
  const granules = written.get(storage);
  try {
    if (granules !== undefined) expectExactly(opened, granules);
    await changeOthers(opened);
  } catch (error) {
    await opened.graph.close(opened.disk).catch(() => undefined);
    throw error;
  }
  const guest = guestDisk(opened, () => openWithBitmaps(scenario, storage));
  return granules === undefined ? guest : noting(guest, granules, granularityOf(scenario));
}

/** Other bitmaps come, go and are changed each time the image is opened. */
async function changeOthers({ disk: { node } }: OpenedDisk): Promise<void> {
  if (node.bitmaps.find('merged') === undefined) addBitmap(node, { name: 'merged', granularity: 4096, enabled: false });
  const [all, merged] = [node.bitmaps.require('all'), node.bitmaps.require('merged')];
  if (!all.inconsistent && !merged.inconsistent) await startAsync(mergeBitmap(node, 'merged', node, 'all'));
  if (node.bitmaps.find('lately') !== undefined) await startAsync(removeBitmap(node, 'lately'));
  addBitmap(node, { name: 'lately', granularity: 512 });
}

/** The disk, and a note of all that is written to. */
function noting(guest: GuestDisk, granules: Set<number>, granularity: number): GuestDisk {
  const note = (offset: number, length: number): void => {
    for (let at = Math.floor(offset / granularity); at * granularity < offset + length; at++) granules.add(at);
  };
  return {
    get size() {
      return guest.size;
    },
    read: (offset, buffer) => guest.read(offset, buffer),
    flush: () => guest.flush(),
    resize: (size) => guest.resize(size),
    makeEmpty: () => guest.makeEmpty(),
    close: () => guest.close(),
    reopen: () => guest.reopen(),
    write: (offset, data, fua) => {
      note(offset, data.length);
      return guest.write(offset, data, fua);
    },
    writeZeroes: (offset, length, unmap) => {
      note(offset, length);
      return guest.writeZeroes(offset, length, unmap);
    },
    discard: (offset, length) => {
      note(offset, length);
      return guest.discard(offset, length);
    },
  };
}

function expectExactly({ disk }: OpenedDisk, granules: ReadonlySet<number>): void {
  const bitmap = disk.node.bitmaps.require('all');
  if (bitmap.inconsistent) throw new Error("the bitmap 'all' is inconsistent after the image was closed");
  for (let granule = 0; granule * bitmap.granularity < disk.length; granule++) {
    const isDirty = bitmap.isDirty(granule * bitmap.granularity);
    if (isDirty === granules.has(granule)) continue;
    throw new Error(
      `granule ${granule} of 'all' is ${isDirty ? '' : 'not '}dirty, and was ${isDirty ? 'not ' : ''}written to`,
    );
  }
}

async function expectNothingMissed(scenario: Scenario, content: SparseBytes, what: string): Promise<void> {
  const storage = new SimulatedStorage({ initial: content, readOnly: true });
  const { graph, disk } = await openQcow2(storage, readOnly(scenario), baseStorage(scenario));
  const all = (await startAsync(listBitmaps(disk.node))).find(({ name }) => name === 'all');
  if (all === undefined) throw new Error(`${what}: the bitmap 'all' is gone`);
  if (!all.inconsistent) {
    const bitmap = disk.node.bitmaps.require('all');
    const bytes = await readDisk(disk);
    const missed = bytes.findIndex((byte, at) => byte !== (scenario.base?.[at] ?? 0) && !bitmap.isDirty(at));
    if (missed >= 0) throw new Error(`${what}: the byte at ${missed} was written, and is not dirty in 'all'`);
  }
  await graph.close(disk);
}

// ── Amending ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What an image is amended to, by what it is: level, width of refcounts, lazy refcounts. */
const NEXT: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  '0.10 16': { compat: '1.1', refcount_bits: 1 },
  '1.1 1': { refcount_bits: 64, lazy_refcounts: true },
  '1.1 64': { refcount_bits: 8 },
  '1.1 8': { refcount_bits: 2, lazy_refcounts: false },
  '1.1 2': { refcount_bits: 32 },
  '1.1 32': { refcount_bits: 16 },
  '1.1 16': { compat: '0.10' },
  '1.1 4': { compat: '0.10', refcount_bits: 16 },
};

/** qcow2 disks that become something else each time they are opened. */
export const amendSubject: Subject = {
  ...qcow2Subject,
  name: 'qcow2, amended',
  choose: (random, choice) => {
    const scenario = chooseScenario(random, { ...choice, weights: { ...WEIGHTS, resize: 1, reopen: 3 } });
    // What version 2 does not have would keep it from being opened.
    return { ...scenario, open: { ...scenario.open, 'backing-identity': 'ignore', 'discard-no-unref': false } };
  },
  open: openAmended,
};

async function openAmended(scenario: Scenario, storage: Storage): Promise<GuestDisk> {
  const opened = await openQcow2(storage, scenario.open, baseStorage(scenario));
  try {
    const info = await startAsync(imageInfo(opened.disk.node));
    const { compat, 'refcount-bits': bits } = info['format-specific']!.data;
    await startAsync(amendImage(opened.graph, opened.disk.node, NEXT[`${String(compat)} ${String(bits)}`]!));
  } catch (error) {
    await opened.graph.close(opened.disk).catch(() => undefined);
    throw error;
  }
  return guestDisk(opened, () => openAmended(scenario, storage));
}

/**
 * The valid images that fuzzing begins with: small ones, one for each feature of the format, made by this project. A new feature
 * takes one line here.
 */
import { TEST_SECRET } from '../support/driver-contexts.ts';
import type { GuestDisk } from '../support/guest-run.ts';
import { makeQcow2 } from '../support/qcow2-session.ts';
import { openScenario } from '../support/qcow2-scenario.ts';
import type { Scenario } from '../support/scenario.ts';
import { compressibleBytes, patternedBytes, Random } from '../support/random.ts';
import { bitmapSubject } from '../support/qcow2-bitmap-subject.ts';
import type { SparseBytes } from '../support/sparse-bytes.ts';
import { MemoryStorage } from './memory-storage.ts';

interface Recipe {
  /** For `create`; the size is 64 KiB unless it is said. */
  readonly create: Readonly<Record<string, unknown>>;
  readonly open?: Readonly<Record<string, unknown>>;
  /** Data is written compressed. */
  readonly compressed?: true;
  /** Bytes of a raw backing file. */
  readonly base?: number;
  /** With dirty bitmaps. */
  readonly bitmaps?: true;
  /** How many snapshots there are. */
  readonly snapshots?: number;
}

const recipes: Readonly<Record<string, Recipe>> = {
  sectors: { create: { cluster_size: 512 } },
  plain: { create: { cluster_size: 4096, size: 256 * 1024 } },
  large: { create: { cluster_size: 16_384, size: 128 * 1024 } },
  version2: { create: { cluster_size: 1024, compat: '0.10' } },
  bits: { create: { cluster_size: 512, refcount_bits: 1 } },
  wide: { create: { cluster_size: 1024, refcount_bits: 64 } },
  lazy: { create: { cluster_size: 1024, lazy_refcounts: true } },
  metadata: { create: { cluster_size: 2048, preallocation: 'metadata' } },
  overlay: { create: { cluster_size: 1024, backing_file: 'base', backing_fmt: 'raw' }, base: 40_960 },
  subclusters: { create: { cluster_size: 16_384, extended_l2: true } },
  dataFile: { create: { cluster_size: 4096, data_file: 'beside' } },
  rawDataFile: { create: { cluster_size: 16_384, data_file: 'beside', data_file_raw: true, extended_l2: true } },
  encrypted: {
    create: { cluster_size: 1024, 'encrypt.format': 'aes', 'encrypt.key-secret': TEST_SECRET },
    open: { encrypt: { 'key-secret': TEST_SECRET } },
  },
  bitmaps: { create: { cluster_size: 512 }, bitmaps: true },
  compressed: { create: { cluster_size: 4096, size: 128 * 1024 }, compressed: true },
  zstd: { create: { cluster_size: 1024, compression_type: 'zstd' }, compressed: true },
  snapshots: { create: { cluster_size: 1024 }, snapshots: 3 },
  compressedSnapshots: { create: { cluster_size: 1024 }, compressed: true, snapshots: 2 },
  snapshots2: { create: { cluster_size: 512, compat: '0.10' }, snapshots: 2 },
  slices: { create: { cluster_size: 4096, size: 5 * 2 ** 20 }, open: { 'l2-cache-entry-size': 512 } },
};

export interface SeedImage {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly scenario: Scenario;
}

/** Makes all of them. */
export async function makeSeedImages(): Promise<readonly SeedImage[]> {
  return Promise.all(Object.entries(recipes).map(([name, recipe]) => makeSeedImage(name, recipe)));
}

async function makeSeedImage(name: string, recipe: Recipe): Promise<SeedImage> {
  const scenario = scenarioOf(recipe);
  const storage = new MemoryStorage(
    await (recipe.bitmaps === true ? makeWithBitmaps(scenario) : makeQcow2(scenario.create)),
  );
  const disk = await openScenario(scenario, storage);
  await fill(disk, recipe.compressed === true);
  for (let made = 1; made <= (recipe.snapshots ?? 0); made++) {
    await disk.snapshots!.create(`snapshot ${made}`);
    await disk.write(8192 * made, patternedBytes(100 + made, 8192 * made, 3000).slice(), false);
  }
  await disk.close();
  return { name, bytes: storage.content.toBytes(), scenario };
}

async function makeWithBitmaps(scenario: Scenario): Promise<SparseBytes> {
  const storage = await bitmapSubject.storage(scenario, new Random(1));
  await (await bitmapSubject.open(scenario, storage)).close();
  return storage.content;
}

function scenarioOf({ create, open = {}, base }: Recipe): Scenario {
  const size = Number(create['size'] ?? 65_536);
  return {
    create: { size, ...create },
    open: { 'l2-cache-size': 16_384, 'refcount-cache-size': 2048, 'backing-identity': 'ignore', ...open },
    base: base === undefined ? undefined : patternedBytes(1_000_000, 0, base).slice(),
    storage: {},
    waits: false,
    together: 1,
    size,
    operations: [],
  };
}

/** Data, holes, zeroes and what was given up again. */
async function fill(disk: GuestDisk, compressed: boolean): Promise<void> {
  const random = new Random(1);
  for (let write = 1; write <= 8; write++) {
    const offset = random.below(disk.size / 512) * 512;
    const length = Math.min(disk.size - offset, 512 * random.between(1, 16));
    if (write % 4 === 0) await disk.writeZeroes(offset, length, true);
    else if (compressed) await disk.write(offset, compressibleBytes(write, offset, length), false, true);
    else await disk.write(offset, patternedBytes(write, offset, length).slice(), false);
  }
  await disk.discard(0, disk.size / 8);
}

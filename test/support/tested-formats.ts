/**
 * The formats that every simulation and the fuzzer go through, one row each. What is particular to a format is said here: the
 * options that its images may have, and what its disks cannot do. qcow2 has a subject of its own, with all that it can do.
 */
import type { FormatDriver, Storage } from '../../src/block/driver.ts';
import { luks } from '../../src/block/format/luks/driver.ts';
import { parallels } from '../../src/block/format/parallels/driver.ts';
import { qcow } from '../../src/block/format/qcow/driver.ts';
import { qed } from '../../src/block/format/qed/driver.ts';
import { raw } from '../../src/block/format/raw/driver.ts';
import { checkImage } from '../../src/block/image/check.ts';
import { startAsync } from '../../src/block/co.ts';
import { vdi } from '../../src/block/format/vdi/driver.ts';
import { vmdk } from '../../src/block/format/vmdk/driver.ts';
import { vhdx } from '../../src/block/format/vhdx/driver.ts';
import { vpc } from '../../src/block/format/vpc/driver.ts';
import { SECTOR_SIZE } from '../../src/block/limits.ts';
import type { GuestDisk } from './guest-run.ts';
import { TEST_SECRET } from './driver-contexts.ts';
import type { Random } from './random.ts';
import {
  baseStorage,
  chooseBase,
  guestDisk,
  makeImage,
  openDisk,
  storageAround,
  type Scenario,
  type ScenarioChoice,
  type Subject,
} from './scenario.ts';
import { SimulatedStorage } from './simulated-storage.ts';
import type { SparseBytes } from './sparse-bytes.ts';
import { generateWorkload, type Verb } from './workload.ts';

export interface TestedFormat {
  readonly driver: FormatDriver;
  /** Where it is not the driver's. */
  readonly name?: string;
  /** Create options of an image, without its size; sizes of clusters and blocks small, so that disks have many. */
  create(random: Random): Readonly<Record<string, unknown>>;
  /** Open options. Default: none but the generic ones. */
  open?(random: Random): Readonly<Record<string, unknown>>;
  /** Sizes of disks are multiples of it; default 512 bytes. */
  readonly sizeUnit?: number;
  /** Bytes of the largest disk, for formats with large blocks: two or three of them. */
  readonly maxSize?: number;
  /** Bytes of the longest request, but for a few that may be as long as the disk; default: three times the first boundary, or the disk. */
  readonly maxLength?: number;
  /** Lengths whose multiples are interesting: block, what a table covers … */
  readonly boundaries: readonly number[];
  /** Operations that its disks cannot do. `resize` and `discard` are left out by themselves where the driver has none. */
  readonly without?: readonly Verb[];
  /** Any part of its disks can be written compressed. */
  readonly compresses?: true;
  /** Its disks can be made larger, but not smaller. */
  readonly grows?: true;
  /** Looks at the end of its file, so that storage which takes whole blocks only is none for it. */
  readonly needsFileEnd?: true;
  /** Says in its own header that it was not closed, so that its tables may be behind: a check looks at it after it was opened once. */
  readonly dirtyAfterCut?: true;
  /** `own`: images only stand on such of their format, so a raw base, as tests have it, is not named when they are made. */
  readonly bases?: 'own' | 'none';
  /** Has a log that is replayed when the image is opened for writing, and is not looked at before. */
  readonly replaysLog?: true;
  /** QEMU is not told of its images by name and format alone (passphrases): tests of its own hold it against QEMU. */
  readonly interopElsewhere?: true;
}

/** For formats with large blocks: requests that reach from one into the next, into many of them, and fill none. */
const SHORT = 96 * 1024;

export const testedFormats: readonly TestedFormat[] = [
  // A raw disk is as long as its file: what alignment pads, and what a cut leaves of a change of size, changes the disk's size.
  { driver: raw, create: () => ({}), sizeUnit: 4096, boundaries: [4096], without: ['resize'] },
  { driver: qcow, create: () => ({}), boundaries: [4096, 2 * 2 ** 20], compresses: true },
  {
    driver: qcow,
    name: 'qcow encrypted',
    create: () => ({ 'encrypt.format': 'aes', 'encrypt.key-secret': TEST_SECRET }),
    open: () => ({ encrypt: { 'key-secret': TEST_SECRET } }),
    boundaries: [4096, 2 * 2 ** 20],
    interopElsewhere: true,
  },
  {
    driver: parallels,
    create: (random) => ({ cluster_size: random.pick([4096, 8192, 65_536]) }),
    boundaries: [4096, 8192],
    dirtyAfterCut: true,
  },
  {
    driver: parallels,
    name: 'parallels, clusters of odd sizes',
    create: (random) => ({ cluster_size: random.pick([512, 63 * 512]) }),
    boundaries: [512, 63 * 512],
    // What an alignment adds to the file is leaked space to a check.
    needsFileEnd: true,
    dirtyAfterCut: true,
  },
  {
    driver: qed,
    create: (random) => ({ cluster_size: random.pick([4096, 4096, 8192, 65_536]), table_size: random.pick([2, 2, 4]) }),
    boundaries: [4096, 4 * 2 ** 20],
    grows: true,
  },
  {
    driver: vdi,
    create: (random) => ({ static: random.chance(0.2) }),
    maxSize: 5 * 2 ** 20,
    maxLength: SHORT,
    boundaries: [2 ** 20],
  },
  {
    driver: luks,
    create: (random) => ({
      'key-secret': TEST_SECRET,
      'iter-time': 1,
      preallocation: 'full',
      // Short keys are split, and put together again, in less time.
      'cipher-alg': 'aes-128',
      'cipher-mode': random.pick(['xts', 'cbc']),
    }),
    open: () => ({ 'key-secret': TEST_SECRET }),
    // The disk is as long as its file, and that is padded to its alignment.
    sizeUnit: 4096,
    boundaries: [4096],
    // What was never written, and what a change of size makes, is what zeroes decrypt to; so is what was discarded in no place.
    without: ['resize'],
    interopElsewhere: true,
  },
  {
    driver: vpc,
    // Without it the disk has the size of a geometry, which need not be the one that was asked for.
    create: (random) => ({ force_size: 'on', subformat: random.pick(['dynamic', 'dynamic', 'fixed']) }),
    maxSize: 9 * 2 ** 20,
    maxLength: SHORT,
    boundaries: [2 * 2 ** 20],
    needsFileEnd: true,
  },
  {
    driver: vmdk,
    create: (random) => ({ zeroed_grain: random.chance(0.5) }),
    maxSize: 512 * 1024,
    boundaries: [65_536],
    bases: 'own',
  },
  {
    driver: vmdk,
    name: 'vmdk, split',
    create: (random) => ({ subformat: 'twoGbMaxExtentSparse', zeroed_grain: random.chance(0.5) }),
    maxSize: 512 * 1024,
    boundaries: [65_536],
    bases: 'own',
    interopElsewhere: true,
  },
  {
    driver: vmdk,
    name: 'vmdk, flat',
    create: () => ({ subformat: 'monolithicFlat' }),
    boundaries: [65_536],
    bases: 'none',
    interopElsewhere: true,
  },
  {
    driver: vhdx,
    create: (random) => ({
      block_size: 2 ** 20,
      subformat: random.pick(['dynamic', 'dynamic', 'dynamic', 'fixed']),
      block_state_zero: random.pick(['on', 'off']),
    }),
    maxSize: 6 * 2 ** 20,
    maxLength: SHORT,
    boundaries: [2 ** 20],
    replaysLog: true,
  },
];

const WEIGHTS = { write: 10, read: 2, zero: 4, discard: 3, flush: 3, reopen: 1, resize: 1 } as const;
/** Besides those, where the format can. */
const COMPRESS_WEIGHT = 5;

/** A format for the simulations. */
export function subjectOf(format: TestedFormat): Subject {
  const { driver } = format;
  const open = async (scenario: Scenario, storage: Storage): Promise<GuestDisk> => {
    const opened = await openDisk(driver, storage, scenario.open, baseStorage(scenario));
    return guestDisk(opened, () => open(scenario, storage));
  };
  return {
    name: format.name ?? driver.name,
    choose: (random, choice) => chooseScenario(format, random, choice),
    storage: async (scenario, random, content, options) =>
      storageAround(scenario, random, content ?? (await makeImage(driver, scenario.create)), options),
    open,
    async expectSound(scenario, content, what, leaks) {
      if (!driver.capabilities.check) return;
      if (format.dirtyAfterCut === true && leaks === 'allowed') return;
      await expectChecked(format, scenario, content, what, leaks);
    },
  };
}

function chooseScenario(format: TestedFormat, random: Random, choice: ScenarioChoice): Scenario {
  const { driver, sizeUnit = SECTOR_SIZE, without = [] } = format;
  const maxSize = Math.max(choice.maxSize, format.maxSize ?? 0);
  const size = sizeUnit * random.between(1, Math.max(1, Math.floor(maxSize / sizeUnit)));
  const base =
    driver.capabilities.backing && format.bases !== 'none' && random.chance(0.4) ? chooseBase(random, size) : undefined;
  const waits = random.chance(0.5);
  const left = new Set<Verb>([...without, ...(driver.capabilities.resize ? [] : ['resize' as const])]);
  const own = format.compresses === true ? { compress: COMPRESS_WEIGHT } : {};
  const weights = Object.fromEntries(
    Object.entries({ ...(choice.weights ?? WEIGHTS), ...own }).filter(([verb]) => !left.has(verb as Verb)),
  );
  return {
    create: {
      size,
      ...format.create(random),
      ...(base !== undefined && format.bases !== 'own' && { backing_file: 'base', backing_fmt: 'raw' }),
    },
    open: {
      discard: random.chance(0.8) ? 'unmap' : 'ignore',
      'detect-zeroes': random.pick(['off', 'off', 'on', 'unmap']),
      ...format.open?.(random),
    },
    base,
    storage: {
      zeroes: random.chance(0.7),
      discards: random.chance(0.7),
      limits: { requestAlignment: random.pick(format.needsFileEnd === true ? [1] : [1, 1, 1, 512, 4096]) },
    },
    waits,
    together: waits ? random.pick([1, 2, 5]) : 1,
    size,
    operations: generateWorkload({
      random,
      count: choice.operations,
      size,
      boundaries: [...format.boundaries, 4096],
      maxLength: chooseMaxLength(format, random, size),
      sizes: format.grows === true ? [maxSize, maxSize] : [sizeUnit, maxSize],
      alignment: SECTOR_SIZE,
      weights,
    }),
  };
}

function chooseMaxLength({ boundaries, maxLength }: TestedFormat, random: Random, size: number): number {
  if (maxLength !== undefined) return random.chance(0.1) ? size : maxLength;
  return random.pick([boundaries[0]! * 3, size]);
}

async function expectChecked(
  { driver, replaysLog }: TestedFormat,
  scenario: Scenario,
  content: SparseBytes,
  what: string,
  leaks: 'allowed' | 'forbidden',
): Promise<void> {
  const storage =
    replaysLog === true
      ? new SimulatedStorage({ initial: content.copy() })
      : new SimulatedStorage({ initial: content, readOnly: true });
  const options = { ...scenario.open, 'read-only': replaysLog !== true };
  const { graph, disk } = await openDisk(driver, storage, options, baseStorage(scenario));
  const result = await startAsync(checkImage(graph, disk.node, 'none'));
  await graph.close(disk);
  if (result.corruptions + result.checkErrors === 0 && (leaks === 'allowed' || result.leaks === 0)) return;
  const findings = result.findings.slice(0, 8).map(({ message }) => `\n  ${message}`);
  throw new Error(`${what}: ${result.corruptions} corruptions, ${result.leaks} leaks${findings.join('')}`);
}

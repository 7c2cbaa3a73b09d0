/** What `amend` of a qcow2 image takes, with qemu-img's names, and what it refuses, in its words. */
import { luksAmendOptions, prefixed, unprefixed, type AmendOptions as SlotOptions } from '../../crypto/luks/options.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { parseOptions, type OptionSchema, type OptionValues } from '../../options.ts';
import { backingFileOf, backingFormatOf, diskSizeOf, type Qcow2Header } from './header.ts';
import {
  AUTOCLEAR_RAW_DATA_FILE,
  COMPATIBLE_LAZY_REFCOUNTS,
  CRYPT_LUKS,
  DEFAULT_REFCOUNT_ORDER,
  INCOMPATIBLE_COMPRESSION,
  INCOMPATIBLE_DATA_FILE,
  INCOMPATIBLE_DIRTY,
} from './layout.ts';
import type { Metadata } from './metadata.ts';

export const amendOptions = {
  compat: { type: 'string', help: 'Compatibility level (v2 [0.10] or v3 [1.1])' },
  backing_file: { type: 'string', help: 'File name of a base image' },
  backing_fmt: { type: 'string', help: 'Image format of the base image' },
  data_file: { type: 'string', help: 'File name of an external data file' },
  data_file_raw: { type: 'boolean', help: 'The external data file must stay valid as a raw image' },
  lazy_refcounts: { type: 'boolean', help: 'Postpone refcount updates' },
  refcount_bits: { type: 'number', help: 'Width of a reference count entry in bits' },
  size: { type: 'size', help: 'Virtual disk size' },
  ...prefixed(luksAmendOptions),
} as const satisfies OptionSchema;

export type AmendOptions = OptionValues<typeof amendOptions>;

/** What is to become of an image. What is undefined stays. */
export interface AmendPlan {
  readonly version: 2 | 3;
  readonly refcountOrder: number;
  readonly dataFile: string | undefined;
  readonly dataFileRaw: boolean | undefined;
  readonly lazyRefcounts: boolean | undefined;
  /** Bytes. */
  readonly size: number | undefined;
  /** What becomes of the key slots of an encrypted image. */
  readonly keySlots: SlotOptions | undefined;
}

const VERSIONS: Readonly<Record<string, 2 | 3>> = { '0.10': 2, v2: 2, '1.1': 3, v3: 3 };

/**
 * Checks all that can be told without looking at the disk's content.
 *
 * @throws BlockError `invalid` or `unsupported`, in qemu-img's words
 */
export function planAmend({ header, snapshots }: Metadata, options: AmendOptions): AmendPlan {
  const version = options.compat === undefined ? header.version : VERSIONS[options.compat];
  if (version === undefined) {
    throw new BlockError('invalid', `Unknown compatibility level ${options.compat}: there are 0.10 and 1.1`);
  }
  checkBacking(header, options);
  checkDataFile(header, options);
  const plan = {
    version,
    refcountOrder: refcountOrderOf(header, version, options.refcount_bits),
    dataFile: options.data_file,
    dataFileRaw: options.data_file_raw,
    lazyRefcounts: lazyRefcountsOf(header, version, options.lazy_refcounts),
    size: sizeOf(header, options.size),
    keySlots: keySlotsOf(header, options),
  };
  if (version < header.version) {
    checkDowngrade(header, plan.refcountOrder);
    const size = plan.size ?? diskSizeOf(header);
    if (snapshots.some(({ info }) => info.diskSize !== size || info.vmStateSize >= 2 ** 32)) throw snapshotsInTheWay();
  }
  return plan;
}

function snapshotsInTheWay(): BlockError {
  return new BlockError('unsupported', 'Internal snapshots prevent downgrade of image: delete them first');
}

function checkBacking(header: Qcow2Header, { backing_file: file, backing_fmt: format }: AmendOptions): void {
  if (file === undefined && format === undefined) return;
  const sameFile = file === undefined || file === backingFileOf(header);
  if (sameFile && (format === undefined || format === backingFormatOf(header))) return;
  throw new BlockError('invalid', "Cannot amend the backing file\nYou can use 'qemu-img rebase' instead.");
}

function checkDataFile(header: Qcow2Header, { data_file: name, data_file_raw: raw }: AmendOptions): void {
  if (name !== undefined && (header.incompatibleFeatures & INCOMPATIBLE_DATA_FILE) === 0n) {
    throw new BlockError('invalid', 'data-file can only be set for images that use an external data file');
  }
  if (raw === true && (header.autoclearFeatures & AUTOCLEAR_RAW_DATA_FILE) === 0n) {
    throw new BlockError('invalid', 'data-file-raw cannot be set on existing images');
  }
}

function refcountOrderOf(header: Qcow2Header, version: 2 | 3, bits: number | undefined): number {
  if (bits === undefined) return header.refcountOrder;
  const order = Math.log2(bits);
  if (bits < 1 || bits > 64 || order % 1 !== 0) {
    throw new BlockError('invalid', 'Refcount width must be a power of two and may not exceed 64 bits');
  }
  if (version < 3 && order !== DEFAULT_REFCOUNT_ORDER && order !== header.refcountOrder) {
    throw new BlockError(
      'invalid',
      'Refcount widths other than 16 bits require compatibility level 1.1 or above (use compat=1.1 or greater)',
    );
  }
  return order;
}

function lazyRefcountsOf(header: Qcow2Header, version: 2 | 3, wanted: boolean | undefined): boolean | undefined {
  if (wanted === true && version < 3) {
    throw new BlockError(
      'invalid',
      'Lazy refcounts only supported with compatibility level 1.1 and above (use compat=1.1 or greater)',
    );
  }
  const isLazy = (header.compatibleFeatures & COMPATIBLE_LAZY_REFCOUNTS) !== 0n;
  if (version < header.version) return isLazy ? false : undefined;
  return wanted === isLazy ? undefined : wanted;
}

function keySlotsOf(header: Qcow2Header, options: AmendOptions): SlotOptions | undefined {
  const given = unprefixed(options);
  if (Object.keys(given).length === 0) return undefined;
  if (header.cryptMethod !== CRYPT_LUKS) {
    throw new BlockError('invalid', 'Only LUKS encryption options can be amended, and the image has none');
  }
  return parseOptions(luksAmendOptions, given, 'amending the encryption of a qcow2 image');
}

function sizeOf(header: Qcow2Header, size: number | undefined): number | undefined {
  if (size === undefined || size === diskSizeOf(header)) return undefined;
  if (size % SECTOR_SIZE !== 0) {
    throw new BlockError('invalid', `The new size must be a multiple of ${SECTOR_SIZE}, not ${size}`);
  }
  return size;
}

function checkDowngrade(header: Qcow2Header, refcountOrder: number): void {
  if (refcountOrder !== DEFAULT_REFCOUNT_ORDER) {
    throw new BlockError('unsupported', 'compat=0.10 requires refcount_bits=16');
  }
  if ((header.incompatibleFeatures & INCOMPATIBLE_DATA_FILE) !== 0n) {
    throw new BlockError('unsupported', 'Cannot downgrade an image with a data file');
  }
  // Lazy refcounts are settled, and another compression type is no matter where nothing is compressed.
  const left = header.incompatibleFeatures & ~(INCOMPATIBLE_DIRTY | INCOMPATIBLE_COMPRESSION);
  if (left !== 0n) {
    throw new BlockError(
      'unsupported',
      `Cannot downgrade an image with incompatible features 0x${left.toString(16)} set`,
    );
  }
}

/** Options of new qcow2 images, with qemu-img's names, and what it refuses, in its words. */
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import type { LuksParameters } from '../../crypto/luks/create.ts';
import { luksCreateOptions, luksParameters, prefixed, unprefixed } from '../../crypto/luks/options.ts';
import { parseOptions, type OptionSchema, type OptionValues } from '../../options.ts';
import {
  DEFAULT_CLUSTER_SIZE,
  ENTRY_LENGTH,
  EXTENDED_ENTRY_LENGTH,
  MAX_BACKING_FILE_BYTES,
  MAX_BACKING_FORMAT_BYTES,
  MAX_CLUSTER_BITS,
  MAX_DATA_FILE_BYTES,
  MAX_L1_BYTES,
  MIN_CLUSTER_BITS,
  MIN_EXTENDED_CLUSTER_BITS,
} from './layout.ts';

export const createOptions = {
  size: { type: 'size', help: 'Virtual disk size', required: true },
  compat: {
    type: 'enum',
    values: ['0.10', '1.1', 'v2', 'v3'],
    help: 'Compatibility level (v2 [0.10] or v3 [1.1])',
    default: '1.1',
  },
  backing_file: { type: 'string', help: 'File name of a base image' },
  backing_fmt: { type: 'string', help: 'Image format of the base image' },
  cluster_size: { type: 'size', help: 'qcow2 cluster size', default: DEFAULT_CLUSTER_SIZE },
  preallocation: {
    type: 'enum',
    values: ['off', 'metadata', 'falloc', 'full'],
    help: 'Preallocation mode (allowed values: off, metadata, falloc, full)',
    default: 'off',
  },
  data_file: { type: 'string', help: 'File name of an external data file' },
  data_file_raw: {
    type: 'boolean',
    help: 'The external data file must stay valid as a raw image',
    default: false,
  },
  extended_l2: { type: 'boolean', help: 'Extended L2 tables', default: false },
  compression_type: {
    type: 'enum',
    values: ['zlib', 'zstd'],
    help: 'Compression method used for image cluster compression',
    default: 'zlib',
  },
  lazy_refcounts: { type: 'boolean', help: 'Postpone refcount updates', default: false },
  refcount_bits: { type: 'number', help: 'Width of a reference count entry in bits', default: 16 },
  encryption: {
    type: 'boolean',
    help: "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)",
  },
  'encrypt.format': { type: 'enum', values: ['aes', 'luks'], help: "Encrypt the image, format choices: 'aes', 'luks'" },
  ...prefixed(luksCreateOptions),
  'encrypt.key-secret': { type: 'string', help: 'ID of secret providing qcow AES key or LUKS passphrase' },
} as const satisfies OptionSchema;

export type CreateOptions = OptionValues<typeof createOptions>;

/** What the options say, checked. */
export interface CreateParameters {
  readonly version: 2 | 3;
  /** Bytes, a multiple of 512: qemu-img rounds up. */
  readonly size: number;
  readonly clusterSize: number;
  readonly refcountBits: number;
  readonly lazyRefcounts: boolean;
  /** Bytes of an L2 entry: 16 with subclusters. */
  readonly entryLength: number;
  readonly l1Entries: number;
  readonly encryption: NewEncryption | undefined;
  /** The tables lead to every cluster. */
  readonly preallocated: boolean;
  /** Where the data is, if not in the image's own file. */
  readonly dataFile: string | undefined;
  readonly dataFileRaw: boolean;
}

/** How a new image is encrypted. */
export interface NewEncryption {
  /** Undefined: the old AES mode, which has no header of its own. */
  readonly luks: LuksParameters | undefined;
  /** The ID of its secret. */
  readonly keySecret: string | undefined;
}

/**
 * Checks options of a new image.
 *
 * @throws BlockError `invalid`, in qemu-img's words where it has words for it
 */
export function checkCreateOptions(options: CreateOptions): CreateParameters {
  const version = options.compat === '0.10' || options.compat === 'v2' ? 2 : 3;
  const { cluster_size: clusterSize, refcount_bits: refcountBits, lazy_refcounts: lazyRefcounts } = options;
  if (!isPowerOfTwo(clusterSize) || clusterSize < 2 ** MIN_CLUSTER_BITS || clusterSize > 2 ** MAX_CLUSTER_BITS) {
    throw new BlockError('invalid', 'Cluster size must be a power of two between 512 and 2048k');
  }
  if (!isPowerOfTwo(refcountBits) || refcountBits > 64) {
    throw new BlockError('invalid', 'Refcount width must be a power of two and may not exceed 64 bits');
  }
  if (version < 3 && refcountBits !== 16) {
    throw new BlockError(
      'invalid',
      'Different refcount widths than 16 bits require compatibility level 1.1 or above (use version=v3 or greater)',
    );
  }
  if (version < 3 && lazyRefcounts) {
    throw new BlockError(
      'invalid',
      'Lazy refcounts only supported with compatibility level 1.1 and above (use version=v3 or greater)',
    );
  }
  if (version < 3 && options.compression_type !== 'zlib') {
    throw new BlockError(
      'invalid',
      'Non-zlib compression type is only supported with compatibility level 1.1 and above (use version=v3 or greater)',
    );
  }
  const entryLength = checkExtendedL2(options, version);
  checkDataFile(options, version);
  checkBacking(options);
  const size = Math.ceil(options.size / SECTOR_SIZE) * SECTOR_SIZE;
  const l1Entries = Math.ceil(size / (clusterSize * (clusterSize / entryLength)));
  if (l1Entries * ENTRY_LENGTH > MAX_L1_BYTES || !Number.isSafeInteger(size)) {
    throw new BlockError(
      'invalid',
      "The image size is too large for file format 'qcow2' (try using a larger cluster size)",
    );
  }
  const encryption = checkEncryption(options, version);
  return {
    version,
    size,
    clusterSize,
    refcountBits,
    lazyRefcounts,
    entryLength,
    l1Entries,
    preallocated: options.preallocation !== 'off' || options.data_file_raw,
    dataFile: options.data_file,
    dataFileRaw: options.data_file_raw,
    encryption,
  };
}

function checkEncryption(options: CreateOptions, version: 2 | 3): NewEncryption | undefined {
  const own = unprefixed(options);
  const format = options['encrypt.format'];
  if (options.encryption === true && format !== undefined) {
    throw new BlockError('invalid', 'Options encryption and encrypt.format are mutually exclusive');
  }
  if (format === undefined && options.encryption !== true) {
    if (Object.keys(own).length > 0) throw new BlockError('invalid', "Parameter 'encrypt.format' is missing");
    return undefined;
  }
  if (options.preallocation !== 'off' && version < 3) {
    throw new BlockError(
      'unsupported',
      'Preallocation of an encrypted image needs compatibility level 1.1 (version 3)',
    );
  }
  const { format: _, ...given } = own;
  const luks = parseOptions(luksCreateOptions, given, 'encryption of a qcow2 image');
  if (format === 'luks') return { luks: luksParameters(luks), keySecret: luks['key-secret'] };
  const others = Object.keys(given).filter((name) => name !== 'key-secret');
  if (others.length === 0) return { luks: undefined, keySecret: luks['key-secret'] };
  throw new BlockError('invalid', `Encryption with format 'aes' has no option encrypt.${others[0]}`);
}

/** @returns bytes of an L2 entry */
function checkExtendedL2({ extended_l2: extended, cluster_size: clusterSize }: CreateOptions, version: number): number {
  if (!extended) return ENTRY_LENGTH;
  if (version < 3) {
    throw new BlockError(
      'invalid',
      'Extended L2 entries are only supported with compatibility level 1.1 and above (use version=v3 or greater)',
    );
  }
  if (clusterSize < 2 ** MIN_EXTENDED_CLUSTER_BITS) {
    throw new BlockError(
      'invalid',
      `Extended L2 entries are only supported with cluster sizes of at least ${2 ** MIN_EXTENDED_CLUSTER_BITS} bytes`,
    );
  }
  return EXTENDED_ENTRY_LENGTH;
}

function checkDataFile({ data_file: file, data_file_raw: raw, backing_file: backing }: CreateOptions, version: number) {
  if (file !== undefined && version < 3) {
    throw new BlockError(
      'invalid',
      'External data files are only supported with compatibility level 1.1 and above (use version=v3 or greater)',
    );
  }
  if (raw && backing !== undefined) {
    throw new BlockError('invalid', 'Backing file and data-file-raw cannot be used at the same time');
  }
  if (raw && file === undefined) throw new BlockError('invalid', 'data-file-raw requires data-file');
  if (file !== undefined) checkText('The name of an external data file', file, MAX_DATA_FILE_BYTES);
}

function checkBacking(options: CreateOptions): void {
  const { backing_file: file, backing_fmt: format, preallocation, extended_l2: extended } = options;
  if (format !== undefined && file === undefined) {
    throw new BlockError('invalid', 'Backing format cannot be used without backing file');
  }
  if (file === undefined) return;
  if (format === undefined) {
    throw new BlockError('invalid', 'Backing file specified without backing format: pass backing_fmt');
  }
  if (preallocation !== 'off' && !extended) {
    throw new BlockError(
      'invalid',
      'Backing file and preallocation can only be used at the same time if extended_l2 is on',
    );
  }
  checkText('The name of a backing file', file, MAX_BACKING_FILE_BYTES);
  checkText("The name of a backing file's format", format, MAX_BACKING_FORMAT_BYTES);
}

function checkText(what: string, text: string, limit: number): void {
  const bytes = new TextEncoder().encode(text).length;
  if (bytes >= 1 && bytes <= limit) return;
  throw new BlockError('invalid', `${what} takes 1 to ${limit} bytes in a qcow2 header, this one takes ${bytes}`);
}

function isPowerOfTwo(value: number): boolean {
  return value >= 1 && Math.log2(value) % 1 === 0;
}

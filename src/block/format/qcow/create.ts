import { settle, type Co } from '../../co.ts';
import { passphraseOf } from '../../crypto/passphrase.ts';
import type { BlockChild, CreateContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import { encodeHeader, l1Entries } from './header.ts';
import { CRYPT_AES, CRYPT_NONE, ENTRY_LENGTH, MAX_L1_BYTES } from './layout.ts';

export const createOptions = {
  size: { type: 'size', help: 'Virtual disk size', required: true },
  backing_file: { type: 'string', help: 'File name of a base image' },
  // The header has no place for it: it is what `create` opens the base with.
  backing_fmt: { type: 'string', help: 'Format of the backing image' },
  encryption: {
    type: 'boolean',
    help: "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)",
  },
  'encrypt.format': { type: 'enum', values: ['aes'], help: "Encrypt the image, format choices: 'aes'" },
  'encrypt.key-secret': { type: 'string', help: 'ID of the secret that provides the AES encryption key' },
} as const satisfies OptionSchema;

type CreateOptions = OptionValues<typeof createOptions>;

/** Clusters of a new image, and entries of its L2 tables, as powers of two. QEMU's choice. */
const SHAPE = { clusterBits: 12, l2Bits: 9 } as const;
/** Small clusters over a backing file: less is copied that did not change. */
const SHAPE_OVER_BACKING = { clusterBits: 9, l2Bits: 12 } as const;

/**
 * Writes an empty image: the L1 table first, the header when that is stable.
 *
 * @throws BlockError `invalid` for a size that the format cannot have, or that no reader would hold the table of
 */
export function* create(file: BlockChild, options: CreateOptions, context: CreateContext): Co<void> {
  const cryptMethod = checkEncryption(options, context);
  const backed = options.backing_file !== undefined;
  const header = {
    size: Math.ceil(options.size / SECTOR_SIZE) * SECTOR_SIZE,
    ...(backed ? SHAPE_OVER_BACKING : SHAPE),
    backingFilename: options.backing_file,
    cryptMethod,
  };
  if (header.size === 0) throw new BlockError('invalid', 'Image size is too small, cannot be zero length');
  const bytes = encodeHeader(header);
  const tableBytes = l1Entries({ ...header, l1TableOffset: bytes.length }) * ENTRY_LENGTH;
  if (tableBytes > MAX_L1_BYTES) {
    throw new BlockError(
      'invalid',
      `The image size is too large for file format 'qcow': its L1 table would have ${tableBytes} bytes, and at most ${MAX_L1_BYTES} are read`,
    );
  }
  const rounded = Math.ceil(tableBytes / SECTOR_SIZE) * SECTOR_SIZE;
  yield* settle(file.writeZeroes(0, bytes.length + rounded));
  yield* settle(file.flush());
  yield* settle(file.write(0, bytes));
  yield* settle(file.flush());
  context.progress?.report(1, 1);
}

function checkEncryption(options: CreateOptions, { secret }: CreateContext): number {
  const format = options['encrypt.format'];
  const id = options['encrypt.key-secret'];
  if (options.encryption === true && format !== undefined) {
    throw new BlockError('invalid', 'Options encryption and encrypt.format are mutually exclusive');
  }
  if (options.encryption !== true && format === undefined) {
    if (id !== undefined) throw new BlockError('invalid', "Parameter 'encrypt.format' is missing");
    return CRYPT_NONE;
  }
  // The passphrase leaves no trace in an empty image, but one that does not exist is better missed now.
  passphraseOf(secret, id, 'encrypt.key-secret');
  return CRYPT_AES;
}

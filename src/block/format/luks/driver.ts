/**
 * `luks`: a raw disk behind a LUKS1 header, as dm-crypt and QEMU know it.
 *
 * Source: LUKS On-Disk Format Specification, version 1.2.3; option names from BlockdevOptionsLUKS and qemu-img.
 */
import { settle, type Co } from '../../co.ts';
import { createLuks, headerAreaBytes } from '../../crypto/luks/create.ts';
import { encodeHeader, luksVersion } from '../../crypto/luks/header.ts';
import { luksAmendOptions, luksCreateOptions, luksParameters } from '../../crypto/luks/options.ts';
import { LuksVolume } from '../../crypto/luks/volume.ts';
import { EncryptedChild } from '../../crypto/encrypted-child.ts';
import { lockedCipher } from '../../crypto/locked.ts';
import { SectorCipher } from '../../crypto/sector-cipher.ts';
import { passphraseOf } from '../../crypto/passphrase.ts';
import type { BlockChild, CreateContext, FormatDriver, FormatImage, OpenContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE, ZERO_BUFFER_BYTES } from '../../limits.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import { TimeSlice } from '../../time-slice.ts';
import { LuksImage } from './image.ts';

const openOptions = {
  'key-secret': { type: 'string', help: 'ID of the secret that provides the keyslot passphrase' },
  header: { type: 'any', help: 'Where a detached header is: options of a node, or the name of one' },
} as const satisfies OptionSchema;

const createOptions = {
  size: { type: 'size', help: 'Virtual disk size', required: true },
  ...luksCreateOptions,
  'detached-header': {
    type: 'boolean',
    help: 'Only the header is written: the disk is in another file',
    default: false,
  },
  preallocation: {
    type: 'enum',
    values: ['off', 'falloc', 'full'],
    help: 'Preallocation mode (allowed values: off, falloc, full)',
    default: 'off',
  },
} as const satisfies OptionSchema;

type CreateOptions = OptionValues<typeof createOptions>;

export const luks: FormatDriver<typeof openOptions, typeof createOptions> = {
  kind: 'format',
  name: 'luks',
  capabilities: {
    write: true,
    create: true,
    backing: false,
    snapshots: false,
    bitmaps: false,
    check: false,
    repair: false,
    resize: true,
    compress: false,
  },
  openOptions,
  createOptions,
  amendOptions: luksAmendOptions,

  /** The magic number and version 1; version 2 is told as well, to be refused by its name. */
  probe({ head }) {
    const version = luksVersion(head);
    return version === 1 ? 100 : version === undefined ? 0 : 50;
  },

  open: openImage,
  create,

  measure(options) {
    const bytes = headerAreaBytes(luksParameters(options).cipher) + roundUp(options.size);
    return { required: bytes, fullyAllocated: bytes };
  },
};

function* openImage(context: OpenContext<OptionValues<typeof openOptions>>): Co<FormatImage> {
  const { file, flags, options, secret } = context;
  const detached = options.header !== undefined;
  const area = detached ? yield* context.openReference('header', undefined, ['metadata']) : file;
  const volume = yield* LuksVolume.read(area, detached);
  const payload = detached ? 0 : volume.header.payloadOffset;
  if (payload > file.length) {
    throw new BlockError(
      'corrupt',
      `The encrypted disk begins at ${payload} in the file, which has only ${file.length} bytes: it was cut off`,
    );
  }
  const id = options['key-secret'];
  const locked = id === undefined && (flags.inspect === true || flags.check === true);
  const cipher = locked ? lockedCipher : yield* volume.unlock(passphraseOf(secret, id, 'key-secret'));
  return new LuksImage(file, volume, new EncryptedChild(file, cipher, -payload), payload);
}

/**
 * Without preallocation the disk shows, before it is written, what zeroes decrypt to, as with QEMU. With `full` it is zero, and
 * its file is full of what cannot be told from data.
 */
function* create(file: BlockChild, options: CreateOptions, { progress, secret }: CreateContext): Co<void> {
  const parameters = luksParameters(options);
  const passphrase = passphraseOf(secret, options['key-secret'], 'key-secret');
  const payload = headerAreaBytes(parameters.cipher);
  const detached = options['detached-header'];
  const end = payload + (detached ? 0 : roundUp(options.size));
  if (!Number.isSafeInteger(end)) throw new BlockError('invalid', 'The image would have 2^53 bytes or more');
  if (file.length > 0) {
    // An older header must be gone before a new one begins, or a power cut leaves its key slots with new key material.
    yield* settle(file.truncate(0));
    yield* settle(file.flush());
  }
  yield* settle(file.truncate(end));
  if (options.preallocation === 'falloc') yield* writeZeroes(file, payload, end);
  const { header, key } = yield* createLuks(detached ? withoutHeader(file) : file, parameters, passphrase);
  if (detached) yield* settle(file.write(0, encodeHeader({ ...header, payloadOffset: 0 })));
  const disk = new EncryptedChild(file, new SectorCipher(parameters.cipher, key), -payload);
  if (options.preallocation === 'full') yield* writeZeroes(disk, payload, end);
  yield* settle(file.flush());
  progress?.report(end, end);
}

/** Key material goes to the file; the header follows when it says that the disk is elsewhere. */
function withoutHeader(file: BlockChild): Pick<BlockChild, 'write'> {
  return { write: (offset, data) => (offset === 0 ? undefined : file.write(offset, data)) };
}

function* writeZeroes(file: BlockChild, from: number, end: number): Co<void> {
  const zeroes = new Uint8Array(ZERO_BUFFER_BYTES);
  const slice = new TimeSlice();
  for (let at = from; at < end; at += zeroes.length) {
    yield* settle(file.write(at, zeroes.subarray(0, end - at)));
    yield* slice.pause();
  }
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / SECTOR_SIZE) * SECTOR_SIZE;
}

/**
 * `luks`: a raw disk behind a LUKS header, as dm-crypt knows it: version 1 as QEMU has it, and version 2, which QEMU has not, to be
 * read and written, but not to be made or amended.
 *
 * Source: LUKS On-Disk Format Specification, version 1.2.3; LUKS2 On-Disk Format Specification, version 1.1.3; option names from
 * BlockdevOptionsLUKS and qemu-img.
 */
import { settle, type Co } from '../../co.ts';
import { createLuks, headerAreaBytes } from '../../crypto/luks/create.ts';
import { encodeHeader, luksVersion } from '../../crypto/luks/header.ts';
import { luksAmendOptions, luksCreateOptions, luksParameters } from '../../crypto/luks/options.ts';
import { LuksVolume, type OpenedVolume, type VolumePlace } from '../../crypto/luks/volume.ts';
import { hasSecondHeader } from '../../crypto/luks2/binary-header.ts';
import { Luks2Volume } from '../../crypto/luks2/volume.ts';
import { EncryptedChild } from '../../crypto/encrypted-child.ts';
import { lockedCipher } from '../../crypto/locked.ts';
import { SectorCipher } from '../../crypto/sector-cipher.ts';
import { passphraseOf } from '../../crypto/passphrase.ts';
import {
  NO_CAPABILITIES,
  type BlockChild,
  type CreateContext,
  type FormatDriver,
  type FormatImage,
  type OpenContext,
} from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE, ZERO_BUFFER_BYTES } from '../../limits.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import { TimeSlice } from '../../time-slice.ts';
import { LuksImage } from './image.ts';
import { roundUp } from '../../../binary/round-up.ts';

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
  capabilities: { ...NO_CAPABILITIES, write: true, create: true, resize: true },
  openOptions,
  createOptions,
  // What was never written is what zeroes decrypt to.
  hasZeroInit: false,
  amendOptions: luksAmendOptions,

  /**
   * The magic number and version 1, as in QEMU. QEMU takes version 2 for raw: it may be the guest's, in the first sectors of its
   * disk. So that is less sure than what any other format has to say, and surer than raw.
   */
  probe({ head }) {
    const version = luksVersion(head);
    return version === 1 ? 100 : version === undefined ? 0 : 50;
  },

  open: openImage,
  create,

  measure(options) {
    const bytes = headerAreaBytes(luksParameters(options).cipher) + roundUp(options.size, SECTOR_SIZE);
    return { required: bytes, fullyAllocated: bytes };
  },
};

function* openImage(context: OpenContext<OptionValues<typeof openOptions>>): Co<FormatImage> {
  const { file, flags, options, secret } = context;
  const detached = options.header !== undefined;
  const area = detached ? yield* context.openReference('header', undefined, ['metadata']) : file;
  const volume = yield* readVolume(area, detached);
  const id = options['key-secret'];
  const locked = id === undefined && flags.inspect === true;
  const place = locked && !canOpen(volume) ? noPlace(file) : volume.place();
  checkPlace(place, file);
  const cipher = locked ? lockedCipher : yield* volume.unlock(passphraseOf(secret, id, 'key-secret'));
  return new LuksImage(file, volume, new EncryptedChild(file, cipher, -place.offset), place);
}

/** A first header that is gone is looked for where version 2 keeps its second one. */
function* readVolume(area: BlockChild, detached: boolean): Co<OpenedVolume> {
  const head = new Uint8Array(Math.min(SECTOR_SIZE, area.length));
  yield* settle(area.read(0, head));
  const version = luksVersion(head);
  if (version !== undefined && version !== 1 && version !== 2) {
    throw new BlockError('unsupported', `LUKS version ${version} is not supported; versions 1 and 2 are`);
  }
  if (version === 2 || (version === undefined && (yield* hasSecondHeader(area)))) {
    return yield* Luks2Volume.read(area, detached);
  }
  return yield* LuksVolume.read(area, detached);
}

/** An image that cannot be opened can be looked at. */
function canOpen(volume: OpenedVolume): boolean {
  try {
    volume.place();
    return true;
  } catch (error) {
    if (error instanceof BlockError) return false;
    throw error;
  }
}

function noPlace(file: BlockChild): VolumePlace {
  return { offset: file.length - (file.length % SECTOR_SIZE), size: 0, sectorSize: SECTOR_SIZE };
}

function checkPlace({ offset, size }: VolumePlace, file: BlockChild): void {
  if (offset + (size ?? 0) <= file.length) return;
  throw new BlockError(
    'corrupt',
    `The encrypted disk begins at ${offset} in the file${size === undefined ? '' : ` and has ${size} bytes`}, ` +
      `which has only ${file.length} bytes: it was cut off`,
  );
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
  const end = payload + (detached ? 0 : roundUp(options.size, SECTOR_SIZE));
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

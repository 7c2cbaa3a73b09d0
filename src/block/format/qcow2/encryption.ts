/**
 * Encrypted images: guest data is encrypted in its clusters, tables are not. LUKS counts its sectors as they lie in the file, so
 * the data of a cluster is bound to its place; the old AES mode counts them as they lie on the disk.
 *
 * Source: qcow2 specification, "Full disk encryption header pointer", "Data encryption".
 */
import type { Co } from '../../co.ts';
import { EncryptedChild } from '../../crypto/encrypted-child.ts';
import { legacyAesCipher } from '../../crypto/legacy-aes.ts';
import { lockedCipher, type VolumeCipher } from '../../crypto/locked.ts';
import { luksInfo } from '../../crypto/luks/header.ts';
import type { LuksArea } from '../../crypto/luks/key-slots.ts';
import { LuksVolume } from '../../crypto/luks/volume.ts';
import { passphraseOf } from '../../crypto/passphrase.ts';
import type { BlockChild, OpenContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { parseOptions, type OptionSchema } from '../../options.ts';
import { findExtension } from './extensions.ts';
import { clusterSizeOf, type Qcow2Header } from './header.ts';
import { CRYPT_AES, CRYPT_LUKS, CRYPT_NONE, ENCRYPTION_POINTER_LENGTH, EXTENSION } from './layout.ts';
import type { OpenOptions } from './open-options.ts';

const encryptOptions = {
  format: { type: 'enum', values: ['aes', 'luks'], help: 'How the image is encrypted; without it, as its header says' },
  'key-secret': { type: 'string', help: 'ID of secret providing qcow AES key or LUKS passphrase' },
} as const satisfies OptionSchema;

/** A range of the file. Bytes. */
export interface HeaderPlace {
  readonly offset: number;
  readonly length: number;
}

export class ImageEncryption {
  /** With a header of its own, that is: LUKS. */
  readonly volume: LuksVolume | undefined;
  /** Where that header is. */
  readonly place: HeaderPlace | undefined;
  readonly #cipher: VolumeCipher;
  readonly #children = new Map<BlockChild, BlockChild>();

  constructor(cipher: VolumeCipher, volume?: LuksVolume, place?: HeaderPlace) {
    this.#cipher = cipher;
    this.volume = volume;
    this.place = place;
  }

  /** The child through which to read and write a cluster's data, or a run of clusters that lie in a row in both places. */
  childAt(child: BlockChild, hostOffset: number, guestOffset: number): BlockChild {
    if (this.volume === undefined) return new EncryptedChild(child, this.#cipher, guestOffset - hostOffset);
    let encrypted = this.#children.get(child);
    if (encrypted === undefined) {
      encrypted = new EncryptedChild(child, this.#cipher);
      this.#children.set(child, encrypted);
    }
    return encrypted;
  }

  /** QEMU: ImageInfoSpecificQCow2Encryption. */
  info(): Record<string, unknown> {
    return this.volume === undefined ? { format: 'aes' } : { format: 'luks', ...luksInfo(this.volume.header) };
  }
}

/**
 * Reads how an image is encrypted, and unlocks it. Without a passphrase an image can be looked at and checked; then its data
 * is refused to whoever asks.
 *
 * @throws BlockError `passphrase-needed`, `wrong-passphrase`, `invalid` for options that contradict the header, `corrupt`
 */
export function* openEncryption(
  { file, flags, options, secret }: OpenContext<OpenOptions>,
  header: Qcow2Header,
): Co<ImageEncryption | undefined> {
  const format = { [CRYPT_NONE]: undefined, [CRYPT_AES]: 'aes', [CRYPT_LUKS]: 'luks' }[header.cryptMethod];
  const given = parseOptions(encryptOptions, options.encrypt ?? {}, "option 'encrypt' of driver 'qcow2'");
  if (given.format !== undefined && given.format !== format) {
    throw new BlockError(
      'invalid',
      `Header reported ${format === undefined ? 'no' : `'${format}'`} encryption format but options specify '${given.format}'`,
    );
  }
  if (format === undefined) return undefined;
  const id = given['key-secret'];
  const locked = id === undefined && (flags.inspect === true || flags.check === true);
  const passphrase = locked ? undefined : passphraseOf(secret, id, 'encrypt.key-secret');
  if (format === 'aes') {
    return new ImageEncryption(passphrase === undefined ? lockedCipher : legacyAesCipher(passphrase));
  }
  const place = headerPlace(header, file.length);
  const volume = yield* LuksVolume.read(headerArea(file, place));
  const cipher = passphrase === undefined ? lockedCipher : yield* volume.unlock(passphrase);
  return new ImageEncryption(cipher, volume, place);
}

function headerPlace(header: Qcow2Header, fileLength: number): HeaderPlace {
  const pointer = findExtension(header.extensions, EXTENSION.encryptionHeader);
  if (pointer === undefined) {
    throw new BlockError(
      'corrupt',
      'The image is encrypted with LUKS, and its header does not say where the LUKS header is',
    );
  }
  if (pointer.length !== ENCRYPTION_POINTER_LENGTH) {
    throw new BlockError(
      'corrupt',
      `The pointer to the encryption header has ${pointer.length} bytes; it must have ${ENCRYPTION_POINTER_LENGTH}`,
    );
  }
  const view = new DataView(pointer.buffer, pointer.byteOffset, pointer.byteLength);
  const offset = Number(view.getBigUint64(0));
  const length = Number(view.getBigUint64(8));
  const clusterSize = clusterSizeOf(header);
  if (offset % clusterSize !== 0 || offset === 0) {
    throw new BlockError(
      'corrupt',
      `The encryption header offset ${offset} is not a multiple of the cluster size ${clusterSize}`,
    );
  }
  if (offset + length > fileLength) {
    throw new BlockError(
      'corrupt',
      `The encryption header is at ${offset} and has ${length} bytes; the file has only ${fileLength}: it was cut off`,
    );
  }
  return { offset, length };
}

/** The data of the pointer's header extension. */
export function encodePointer({ offset, length }: HeaderPlace): Uint8Array {
  const data = new Uint8Array(ENCRYPTION_POINTER_LENGTH);
  const view = new DataView(data.buffer);
  view.setBigUint64(0, BigInt(offset));
  view.setBigUint64(8, BigInt(length));
  return data;
}

/** A part of the file as the place of a LUKS header. */
export function headerArea(file: BlockChild, { offset, length }: HeaderPlace): LuksArea {
  return {
    length,
    read: (at, buffer) => file.read(offset + at, buffer),
    write: (at, data) => file.write(offset + at, data),
    flush: () => file.flush(),
  };
}

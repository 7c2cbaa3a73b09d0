/**
 * `qcow`: version 1 of QEMU's copy-on-write format, with backing files, compressed clusters and the old AES encryption.
 *
 * Writes are safe from power cuts: clusters and tables are on stable storage before an entry leads to them. What a cut, a compressed
 * cluster that is written again or a failed write leaves behind is lost space: the format counts nothing, so nothing finds it.
 *
 * Source: Mark McLoughlin, "The QCOW Image Format"; option names from BlockdevOptionsQcow and qemu-img.
 */
import { settle, type Co } from '../../co.ts';
import { legacyAesCipher } from '../../crypto/legacy-aes.ts';
import { lockedCipher, type VolumeCipher } from '../../crypto/locked.ts';
import { passphraseOf } from '../../crypto/passphrase.ts';
import { NO_CAPABILITIES, type FormatDriver, type FormatImage, type OpenContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { parseOptions, type OptionSchema, type OptionValues } from '../../options.ts';
import { create, createOptions } from './create.ts';
import { readHeader, type QcowHeader } from './header.ts';
import { QcowImage } from './image.ts';
import { CRYPT_NONE, FIELD, MAGIC, VERSION } from './layout.ts';
import { QcowTables } from './tables.ts';

const openOptions = {
  encrypt: { type: 'object', help: "Of an encrypted image: 'key-secret', the ID of its passphrase, and 'format'" },
} as const satisfies OptionSchema;

const encryptOptions = {
  format: { type: 'enum', values: ['aes'], help: 'How the image is encrypted; without it, as its header says' },
  'key-secret': { type: 'string', help: 'ID of the secret that provides the AES encryption key' },
} as const satisfies OptionSchema;

type Context = OpenContext<OptionValues<typeof openOptions>>;

export const qcow: FormatDriver<typeof openOptions, typeof createOptions> = {
  kind: 'format',
  name: 'qcow',
  capabilities: { ...NO_CAPABILITIES, write: true, create: true, backing: true, compress: true },
  openOptions,
  createOptions,

  /** The magic number is that of qcow2 too. */
  probe({ head }) {
    if (head.length < FIELD.version + 4) return 0;
    const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
    return view.getUint32(FIELD.magic) === MAGIC && view.getUint32(FIELD.version) === VERSION ? 100 : 0;
  },

  open: openImage,
  create,
};

function* openImage(context: Context): Co<FormatImage> {
  const { file, flags, compression } = context;
  const header = yield* readHeader(file);
  const cipher = openCipher(context, header);
  const compressor = yield* settle(compression.load('deflate'));
  const tables = yield* QcowTables.load(file, header, flags.readOnly);
  return new QcowImage({ tables, readOnly: flags.readOnly, cipher, compressor });
}

/** Without a passphrase an image can be looked at; its data is refused to whoever asks then. */
function openCipher({ options, flags, secret }: Context, header: QcowHeader): VolumeCipher | undefined {
  const given = parseOptions(encryptOptions, options.encrypt ?? {}, "option 'encrypt' of driver 'qcow'");
  if (header.cryptMethod === CRYPT_NONE) {
    if (given.format === undefined) return undefined;
    throw new BlockError('invalid', "Header reported no encryption format but options specify 'aes'");
  }
  const id = given['key-secret'];
  if (id === undefined && (flags.inspect === true || flags.check === true)) return lockedCipher;
  return legacyAesCipher(passphraseOf(secret, id, 'encrypt.key-secret'));
}

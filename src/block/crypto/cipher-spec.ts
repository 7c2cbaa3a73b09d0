/** Which cipher an image uses, by QEMU's names for it and by those in LUKS headers. */
import { HASH_NAMES, isHashName, type HashName } from '../../codec/hashes.ts';
import { IV_GENERATORS, type IvGeneratorName } from '../../codec/iv-generators.ts';
import { SECTOR_MODES, type SectorMode } from '../../codec/sector-modes.ts';
import { BlockError } from '../error.ts';

/** By QEMU's names: `aes-256`, `xts`, `plain64`. */
export interface CipherSpec {
  readonly algorithm: CipherAlgorithm;
  readonly mode: SectorMode;
  readonly ivGenerator: IvGeneratorName;
  /** Of `essiv` only. */
  readonly ivHash: HashName | undefined;
}

/** Bytes of the key. */
const KEY_BYTES = { 'aes-128': 16, 'aes-192': 24, 'aes-256': 32 } as const;

export type CipherAlgorithm = keyof typeof KEY_BYTES;
export const CIPHER_ALGORITHMS = Object.keys(KEY_BYTES) as readonly CipherAlgorithm[];

/** Bytes of the volume's key: XTS has two in one. */
export function keyBytesOf({ algorithm, mode }: Pick<CipherSpec, 'algorithm' | 'mode'>): number {
  return KEY_BYTES[algorithm] * (mode === 'xts' ? 2 : 1);
}

/** Ciphers that LUKS headers name and that are not supported here; all of QEMU's and cryptsetup's usual ones. */
const OTHER_CIPHERS = [
  'serpent',
  'twofish',
  'cast5',
  'camellia',
  'aria',
  'sm4',
  'anubis',
  'blowfish',
  'des',
  'des3_ede',
];

/**
 * Reads what a LUKS header says.
 *
 * @param cipherName `aes`
 * @param cipherMode `xts-plain64`, `cbc-essiv:sha256`
 * @param keyBytes bytes of the volume's key
 * @throws BlockError `unsupported` for ciphers, modes and generators that are not known here, `corrupt` for a key of a length
 *   that the cipher does not have
 */
export function parseCipher(cipherName: string, cipherMode: string, keyBytes: number): CipherSpec {
  if (cipherName !== 'aes') {
    const known = OTHER_CIPHERS.includes(cipherName) ? `The cipher '${cipherName}'` : `The cipher ${show(cipherName)}`;
    throw new BlockError('unsupported', `${known} of the image is not supported; 'aes' is`);
  }
  const [modeName = '', generator = '', ...rest] = cipherMode.split('-');
  const [generatorName = '', hashName] = generator.split(':');
  const mode = SECTOR_MODES.find((name) => name === modeName);
  const ivGeneratorName = IV_GENERATORS.find((name) => name === generatorName);
  if (mode === undefined || ivGeneratorName === undefined || rest.length > 0) {
    throw new BlockError(
      'unsupported',
      `The cipher mode ${show(cipherMode)} of the image is not supported; ${SECTOR_MODES.join(', ')} with ` +
        `${IV_GENERATORS.join(', ')} are`,
    );
  }
  const algorithm = CIPHER_ALGORITHMS.find((name) => keyBytesOf({ algorithm: name, mode }) === keyBytes);
  if (algorithm === undefined) {
    throw new BlockError('corrupt', `A key of ${keyBytes} bytes does not fit the cipher 'aes' in mode '${mode}'`);
  }
  if (ivGeneratorName !== 'essiv') return { algorithm, mode, ivGenerator: ivGeneratorName, ivHash: undefined };
  return { algorithm, mode, ivGenerator: ivGeneratorName, ivHash: parseHash(hashName ?? '') };
}

/** @throws BlockError `unsupported` */
export function parseHash(name: string): HashName {
  if (isHashName(name)) return name;
  throw new BlockError(
    'unsupported',
    `The hash ${show(name)} of the image is not supported; ${HASH_NAMES.join(', ')} are`,
  );
}

/** How a LUKS header writes mode and generator. */
export function cipherModeText({ mode, ivGenerator, ivHash }: CipherSpec): string {
  return `${mode}-${ivGenerator}${ivHash === undefined ? '' : `:${ivHash}`}`;
}

/** A name out of an image may hold anything: control characters do not belong into a message. */
function show(name: string): string {
  return `'${name.replaceAll(/\p{C}/gu, '')}'`;
}

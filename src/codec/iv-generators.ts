/** Initialisation vectors from sector numbers, by dm-crypt's names. Source: cryptsetup, "Disk encryption, IV generators". */
import { BlockError } from '../block/error.ts';
import { aes, AES_BLOCK } from './aes.ts';
import { digest, type HashName } from './hashes.ts';

export const IV_GENERATORS = ['plain', 'plain64', 'essiv'] as const;
export type IvGeneratorName = (typeof IV_GENERATORS)[number];

/** Writes 16 bytes for each of the sectors `first`, `first + step` and so on. */
export type IvGenerator = (first: number, ivs: Uint8Array, step: number) => void;

/**
 * @param key of the volume
 * @param hash for `essiv`
 * @throws BlockError `unsupported` when the hash does not give a key for AES
 */
export function ivGenerator(name: IvGeneratorName, key: Uint8Array, hash: HashName): IvGenerator {
  if (name === 'plain') return (first, ivs, step) => numberSectors(first, ivs, step, false);
  if (name === 'plain64') return (first, ivs, step) => numberSectors(first, ivs, step, true);
  const salt = digest(hash, key);
  if (![16, 24, 32].includes(salt.length)) {
    throw new BlockError('unsupported', `No AES cipher with key size ${salt.length} available, as essiv:${hash} needs`);
  }
  const cipher = aes(salt);
  return (first, ivs, step) => {
    numberSectors(first, ivs, step, true);
    cipher.encryptBlocks(ivs);
  };
}

/** Little-endian; `plain` has only the low 32 bits. */
function numberSectors(first: number, ivs: Uint8Array, step: number, is64: boolean): void {
  const view = new DataView(ivs.buffer, ivs.byteOffset, ivs.byteLength);
  ivs.fill(0);
  for (let at = 0, sector = first; at < ivs.length; at += AES_BLOCK, sector += step) {
    view.setUint32(at, sector % 2 ** 32, true);
    if (is64) view.setUint32(at + 4, Math.floor(sector / 2 ** 32), true);
  }
}

/**
 * The encryption of old qcow and qcow2 images: AES-128 in CBC, the passphrase itself is the key. It is weak, and there to bring
 * data out of old images. Source: QEMU, "Disk image file formats", qcow2, encryption; BlockdevQcowEncryption.
 */
import { SectorCipher } from './sector-cipher.ts';

const KEY_BYTES = 16;

/** @param passphrase its first 16 bytes are the key, filled up with zeroes */
export function legacyAesCipher(passphrase: Uint8Array): SectorCipher {
  const key = new Uint8Array(KEY_BYTES);
  key.set(passphrase.subarray(0, KEY_BYTES));
  return new SectorCipher({ algorithm: 'aes-128', mode: 'cbc', ivGenerator: 'plain64', ivHash: undefined }, key);
}

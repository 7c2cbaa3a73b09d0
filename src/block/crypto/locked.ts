/** What encrypts and decrypts sectors, and what stands in for it while the passphrase is not known. */
import { BlockError } from '../error.ts';

export interface VolumeCipher {
  /** Encrypts whole sectors in place. @param sector number of the first one. @throws BlockError `passphrase-needed` */
  encrypt(sector: number, data: Uint8Array): void;
  decrypt(sector: number, data: Uint8Array): void;
}

function refuse(): never {
  throw new BlockError(
    'passphrase-needed',
    'The image is encrypted and was opened without its passphrase: open it again with one to read or write data',
  );
}

/** An image can be looked at and checked without its passphrase. */
export const lockedCipher: VolumeCipher = { encrypt: refuse, decrypt: refuse };

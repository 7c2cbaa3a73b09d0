/** What encrypts and decrypts sectors, and what stands in for it while the passphrase is not known. */
import { BlockError } from '../error.ts';
import { SECTOR_SIZE } from '../limits.ts';

export interface VolumeCipher {
  /** Bytes that are encrypted as one: what is given is a multiple of it. */
  readonly sectorSize: number;
  /** Encrypts whole sectors in place. @param sector where the first one begins, in units of 512 bytes. @throws BlockError `passphrase-needed` */
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
export const lockedCipher: VolumeCipher = { sectorSize: SECTOR_SIZE, encrypt: refuse, decrypt: refuse };

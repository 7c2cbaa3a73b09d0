/** Passphrases that options name by an ID. */
import { BlockError } from '../error.ts';

/**
 * The passphrase that an option names.
 *
 * @param name of the option, for the message
 * @throws BlockError `passphrase-needed` when the option is missing, `not-found` when nobody gave such a secret
 */
export function passphraseOf(secret: (id: string) => Uint8Array, id: string | undefined, name: string): Uint8Array {
  if (id === undefined) {
    throw new BlockError('passphrase-needed', `Parameter '${name}' is required for cipher: the image is encrypted`);
  }
  return secret(id);
}

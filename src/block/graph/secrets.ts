/** Passphrases that a caller gives to a graph, by name. QEMU: `-object secret`. They are never part of options, errors or `info`. */
import { BlockError } from '../error.ts';

export class SecretStore {
  readonly #secrets = new Map<string, Uint8Array>();

  /** @param data the passphrase's bytes; the store keeps its own copy. @throws BlockError `exists` when the name is taken */
  add(id: string, data: Uint8Array): void {
    if (this.#secrets.has(id)) throw new BlockError('exists', `There is a secret '${id}' already`);
    this.#secrets.set(id, data.slice());
  }

  /** Forgets a secret and overwrites its bytes. What is open already stays open. */
  remove(id: string): void {
    this.#secrets.get(id)?.fill(0);
    this.#secrets.delete(id);
  }

  /** @throws BlockError `not-found` */
  require(id: string): Uint8Array {
    const secret = this.#secrets.get(id);
    if (secret === undefined) throw new BlockError('not-found', `No secret with the id '${id}' was given`);
    return secret;
  }
}

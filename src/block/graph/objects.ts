/** What a caller gives to a graph by name for drivers to find: throttle groups. QEMU: `-object`. Secrets have a store of their own. */
import { BlockError } from '../error.ts';

export class ObjectStore {
  readonly #objects = new Map<string, object>();

  /** @throws BlockError `exists` when the name is taken */
  add(id: string, object: object): void {
    if (this.#objects.has(id)) throw new BlockError('exists', `There is an object '${id}' already`);
    this.#objects.set(id, object);
  }

  /** Forgets an object. Who found it before keeps it. */
  remove(id: string): void {
    this.#objects.delete(id);
  }

  find(id: string): object | undefined {
    return this.#objects.get(id);
  }

  /** @throws BlockError `not-found` */
  require(id: string): object {
    const object = this.#objects.get(id);
    if (object === undefined) throw new BlockError('not-found', `No object with the id '${id}' was given`);
    return object;
  }
}

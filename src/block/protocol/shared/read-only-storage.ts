import type { BlockError } from '../../error.ts';
import { closedError, readOnlyError } from './errors.ts';

/** What is the same in all storages that are only read: what is refused, and how a closed one answers. */
export abstract class ReadOnlyStorage {
  readonly synchronous = false;
  readonly readOnly = true;
  protected readonly filename: string;
  readonly #driver: string;
  #open = true;

  /** @param driver its name, for messages */
  constructor(driver: string, filename: string) {
    this.#driver = driver;
    this.filename = filename;
  }

  write(): void {
    this.#refuseChange('write');
  }

  truncate(): void {
    this.#refuseChange('truncate');
  }

  flush(): void {
    this.refuseClosed();
  }

  protected get isOpen(): boolean {
    return this.#open;
  }

  /** @throws BlockError `closed` */
  protected refuseClosed(): void {
    if (!this.#open) throw this.closedError();
  }

  /** What whoever still waits for something is told. */
  protected closedError(): BlockError {
    return closedError(this.#driver, this.filename);
  }

  /** @returns whether it was open until now */
  protected markClosed(): boolean {
    const wasOpen = this.#open;
    this.#open = false;
    return wasOpen;
  }

  #refuseChange(op: string): never {
    this.refuseClosed();
    throw readOnlyError(this.#driver, this.filename, op);
  }
}

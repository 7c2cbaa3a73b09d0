/** A storage whose n-th read, write, flush, discard or change of length fails, once or from then on. */
import type { MaybePromise } from '../../src/block/co.ts';
import type { BlockLimits, Storage } from '../../src/block/driver.ts';
import { BlockError } from '../../src/block/error.ts';

export type StorageVerb = 'read' | 'write' | 'flush' | 'truncate' | 'discard';

export interface FailureRule {
  /** Which requests count. Zeroing counts as writing. */
  readonly verbs: readonly StorageVerb[];
  /** The first to fail: 1 is the first that counts. */
  readonly nth: number;
  /** How many fail, from that one on. */
  readonly times: number;
  /** The error; `lost` answers as if all were well and does nothing, for tests that must notice it. */
  readonly kind: 'io' | 'no-space' | 'lost';
}

/** A storage may have a second file on the same disk. */
export interface Beside {
  readonly beside?: Storage | undefined;
}

export class FailingStorage implements Storage, Beside {
  readonly synchronous: boolean;
  readonly readOnly: boolean;
  readonly limits: BlockLimits;
  writeZeroes?: (offset: number, length: number, mayUnmap: boolean) => MaybePromise<void>;
  discard?: (offset: number, length: number) => MaybePromise<void>;
  readonly #storage: Storage & Beside;
  readonly #rule: FailureRule;
  readonly #counts: { counted: number; failures: number };

  /** @param counts of another storage that this one is to be counted with */
  constructor(storage: Storage & Beside, rule: FailureRule, counts = { counted: 0, failures: 0 }) {
    this.#counts = counts;
    this.#storage = storage;
    this.#rule = rule;
    this.synchronous = storage.synchronous;
    this.readOnly = storage.readOnly;
    this.limits = storage.limits;
    const { writeZeroes, discard } = storage;
    if (writeZeroes !== undefined) {
      this.writeZeroes = (offset, length, mayUnmap) =>
        this.#pass('write', () => writeZeroes.call(storage, offset, length, mayUnmap));
    }
    if (discard !== undefined) {
      this.discard = (offset, length) => this.#pass('discard', () => discard.call(storage, offset, length));
    }
  }

  /** How many requests that count were made so far. */
  get counted(): number {
    return this.#counts.counted;
  }

  /** How many of them have failed. */
  get failures(): number {
    return this.#counts.failures;
  }

  get beside(): Storage | undefined {
    const { beside } = this.#storage;
    return beside === undefined ? undefined : new FailingStorage(beside, this.#rule, this.#counts);
  }

  getLength(): MaybePromise<number> {
    return this.#storage.getLength();
  }

  read(offset: number, buffer: Uint8Array): MaybePromise<void> {
    return this.#pass('read', () => this.#storage.read(offset, buffer));
  }

  write(offset: number, data: Uint8Array): MaybePromise<void> {
    return this.#pass('write', () => this.#storage.write(offset, data));
  }

  truncate(length: number): MaybePromise<void> {
    return this.#pass('truncate', () => this.#storage.truncate(length));
  }

  flush(): MaybePromise<void> {
    return this.#pass('flush', () => this.#storage.flush());
  }

  close(): MaybePromise<void> {
    return this.#storage.close();
  }

  #pass(verb: StorageVerb, request: () => MaybePromise<void>): MaybePromise<void> {
    if (!this.#rule.verbs.includes(verb)) return request();
    this.#counts.counted++;
    if (this.counted < this.#rule.nth || this.counted >= this.#rule.nth + this.#rule.times) return request();
    this.#counts.failures++;
    if (this.#rule.kind === 'lost') return this.synchronous ? undefined : Promise.resolve();
    const error = new BlockError(this.#rule.kind, `The ${verb} number ${this.counted} was made to fail`);
    if (this.synchronous) throw error;
    return Promise.reject(error);
  }
}

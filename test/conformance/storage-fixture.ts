/** What the conformance suite must know of a protocol driver to run over it. */
import { isPromise, type MaybePromise } from '../../src/block/co.ts';
import type { ProtocolDriver, Storage } from '../../src/block/driver.ts';
import { parseOptions } from '../../src/block/options.ts';
import { same } from '../support/check.ts';

export type GivenOptions = Readonly<Record<string, unknown>>;

export interface StorageFixture {
  readonly driver: ProtocolDriver;
  readonly synchronous: boolean;
  /** Bytes of the driver's own chunks: offsets around them are where it may go wrong. */
  readonly chunkBytes: number;
}

export interface WritableFixture extends StorageFixture {
  /** Options for a file that no other case uses. */
  fresh(label: string): GivenOptions;
  /** How far a sparse write may go; beyond 4 GiB where the medium is sparse. */
  readonly farOffset: number;
  /** Random operations per seed; 150 unless said. */
  readonly operations?: number;
}

export interface ReadOnlyFixture extends StorageFixture {
  /** Options for something that holds these bytes. */
  provide(bytes: Uint8Array<ArrayBuffer>): Promise<GivenOptions>;
}

/** Registers a case: vitest's `test`, or a list that a worker keeps. */
export type RegisterCase = (name: string, run: () => Promise<void>) => void;

/** One file of a fixture, with the options parsed as the core would. */
export class FileUnderTest {
  readonly #fixture: StorageFixture;
  readonly #given: GivenOptions;

  constructor(fixture: StorageFixture, given: GivenOptions) {
    this.#fixture = fixture;
    this.#given = given;
  }

  get options() {
    return parseOptions(this.#fixture.driver.options, this.#given, `driver '${this.#fixture.driver.name}'`);
  }

  async create(size: number): Promise<void> {
    await this.#fixture.driver.create!(this.options, size);
  }

  async delete(): Promise<void> {
    await this.#fixture.driver.delete!(this.options);
  }

  async open(readOnly = false): Promise<Storage> {
    return this.#fixture.driver.open(this.options, { readOnly });
  }

  /** Opens, works, and closes whatever happens. */
  async use<T>(work: (storage: Storage) => Promise<T>, readOnly = false): Promise<T> {
    const storage = await this.open(readOnly);
    try {
      return await work(storage);
    } finally {
      await storage.close();
    }
  }

  /** Sees to it that a synchronous storage keeps its word. */
  async settled<T>(result: MaybePromise<T>): Promise<T> {
    if (this.#fixture.synchronous) same(isPromise(result), false, 'a synchronous storage returned a promise');
    return result;
  }
}

export async function readBytes(storage: Storage, offset: number, length: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(length).fill(0xee);
  await storage.read(offset, buffer);
  return buffer;
}

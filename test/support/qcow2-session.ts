/** A qcow2 disk over a simulated storage, through the real graph, with a model beside it that knows what must be read. */
import { startAsync } from '../../src/block/co.ts';
import type { Storage } from '../../src/block/driver.ts';
import { checkImage } from '../../src/block/format/qcow2/check.ts';
import { qcow2 } from '../../src/block/format/qcow2/driver.ts';
import { readHeader } from '../../src/block/format/qcow2/header.ts';
import type { BlockBackend } from '../../src/block/graph/backend.ts';
import { DiskModel, type PendingChange } from './disk-model.ts';
import { makeImage, openDisk, type LastingStorage, type OpenedDisk } from './scenario.ts';
import { SimulatedStorage } from './simulated-storage.ts';
import type { SparseBytes } from './sparse-bytes.ts';
import { StorageChild } from './storage-child.ts';
import { writtenBytes } from './guest-run.ts';
import { printOperation, type Operation } from './workload.ts';

/** Makes an empty image. @returns the file's bytes */
export const makeQcow2 = (options: Readonly<Record<string, unknown>>): Promise<SparseBytes> =>
  makeImage(qcow2, options);

/** Opens an image in a storage, with `base` behind it if one is given. */
export const openQcow2 = (
  storage: Storage,
  options: Readonly<Record<string, unknown>> = {},
  base?: Storage,
): Promise<OpenedDisk> => openDisk(qcow2, storage, options, base);

/** Reads a whole disk. */
export async function readDisk(disk: BlockBackend): Promise<Uint8Array> {
  const bytes = new Uint8Array(disk.length);
  if (bytes.length > 0) await disk.read(0, bytes);
  return bytes;
}

/** Checks an image's tables. @returns what is wrong, in words; leaks are not */
export async function checkTables(content: SparseBytes): Promise<string[]> {
  const storage = new SimulatedStorage({ initial: content });
  const file = new StorageChild(storage, content.length);
  const header = await startAsync(readHeader(file));
  const { result } = await startAsync(checkImage(file, header, 'none'));
  return result.findings.filter(({ kind }) => kind !== 'leak').map(({ message }) => message);
}

export interface SessionOptions {
  readonly open?: Readonly<Record<string, unknown>>;
  readonly base?: Uint8Array;
  /** Puts something between the disk and its storage. */
  readonly wrap?: (storage: Storage) => Storage;
}

/** Carries operations out and compares every read with the model. */
export class Qcow2Session {
  readonly storage: LastingStorage;
  readonly model: DiskModel;
  readonly #options: SessionOptions;
  #opened: OpenedDisk | undefined;

  constructor(storage: LastingStorage, size: number, options: SessionOptions = {}) {
    this.storage = storage;
    this.#options = options;
    const initial = options.base;
    const position = (): number => storage.position;
    this.model = new DiskModel(
      size,
      initial === undefined ? { position } : { position, initial: initial.subarray(0, size) },
    );
  }

  get disk(): BlockBackend {
    if (this.#opened === undefined) throw new Error('the disk is not open');
    return this.#opened.disk;
  }

  get isOpen(): boolean {
    return this.#opened !== undefined;
  }

  async open(): Promise<void> {
    const { base, open, wrap = (storage: Storage) => storage } = this.#options;
    const baseStorage = base === undefined ? undefined : new SimulatedStorage({ initial: base, readOnly: true });
    this.#opened = await openQcow2(wrap(this.storage), open, baseStorage);
  }

  async close(): Promise<void> {
    const { graph, disk } = this.#opened!;
    this.#opened = undefined;
    await this.#change(this.model.flush(), () => graph.close(disk));
  }

  /** @throws ModelMismatch when a read gives what it must not, and what the disk throws */
  async run(operation: Operation): Promise<void> {
    const label = printOperation(operation);
    switch (operation.verb) {
      case 'write':
      case 'compress': {
        const data = writtenBytes(operation);
        const flags = { fua: operation.fua, compressed: operation.verb === 'compress' };
        return this.#change(this.model.write(operation.offset, data, label), () =>
          this.disk.write(operation.offset, data, flags),
        );
      }
      case 'zero':
        return this.#change(this.model.writeZeroes(operation.offset, operation.length, label), () =>
          this.disk.writeZeroes(operation.offset, operation.length, { mayUnmap: operation.unmap }),
        );
      case 'discard':
        return this.#change(this.model.discard(operation.offset, operation.length, label), () =>
          this.disk.discard(operation.offset, operation.length),
        );
      case 'read':
        return this.#read(operation.offset, operation.length);
      case 'flush':
        return this.#change(this.model.flush(), () => this.disk.flush());
      case 'reopen':
        await this.close();
        return this.open();
      case 'snapshot':
      case 'apply':
      case 'delete':
      case 'empty':
        throw new Error(`a session cannot do '${operation.verb}'`);
      case 'resize':
        return this.#change(this.model.resize(operation.size, label), () => this.disk.resize(operation.size));
    }
  }

  async #read(offset: number, length: number): Promise<void> {
    const since = this.model.beginRead();
    const bytes = new Uint8Array(length);
    await this.disk.read(offset, bytes);
    this.model.verifyRead(offset, bytes, since);
  }

  async #change(pending: PendingChange, act: () => unknown): Promise<void> {
    try {
      await act();
    } catch (error) {
      pending.failed();
      throw error;
    }
    pending.succeeded();
  }

  /** Compares the whole disk with the model. */
  async verify(): Promise<void> {
    const since = this.model.beginRead();
    const bytes = await readDisk(this.disk);
    this.model.verifyRead(0, bytes, since);
  }
}

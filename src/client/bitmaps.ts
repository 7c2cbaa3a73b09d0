/** The dirty bitmaps of an open disk. */
import type { BitmapChange, BitmapInfo, WorkerApi } from '../worker/api.ts';

export interface NewBitmapOptions {
  readonly name: string;
  /** Bytes of disk that one bit stands for, a power of two. Default: the cluster size, between 4 and 64 KiB. */
  readonly granularity?: number | undefined;
  /** Records from now on. Default: yes. */
  readonly enabled?: boolean | undefined;
  /** Kept in the image (`qcow2`) when it is closed. Default: yes. */
  readonly persistent?: boolean | undefined;
}

/** A call for one disk. */
type Call = <T>(begin: (api: Pick<WorkerApi, 'listBitmaps' | 'changeBitmap'>) => Promise<T>) => Promise<T>;

/**
 * Bitmaps that record which parts of a disk are written to. Those that are persistent are stored in the image when the disk is
 * closed; if that does not come to be, they are inconsistent and can only be removed. Every method rejects with a BlockError:
 * `not-found`, `exists`, `invalid`, `unsupported` where the format keeps none, `permission` for a disk that is read-only, `corrupt` for
 * one that is inconsistent, `closed`.
 */
export class DiskBitmaps {
  readonly #call: Call;
  readonly #disk: number;

  /** Made by `Disk`. @param disk what the worker knows it by */
  constructor(call: Call, disk: number) {
    this.#call = call;
    this.#disk = disk;
  }

  /** The facts of `query-block`'s `dirty-bitmaps`. */
  list(): Promise<BitmapInfo[]> {
    return this.#call((api) => api.listBitmaps(this.#disk));
  }

  /** Adds one with nothing in it. */
  add({ name, ...options }: NewBitmapOptions): Promise<void> {
    return this.#change(name, { action: 'add', ...options });
  }

  /** Gone from the image too when it resolves. */
  remove(name: string): Promise<void> {
    return this.#change(name, { action: 'remove' });
  }

  clear(name: string): Promise<void> {
    return this.#change(name, { action: 'clear' });
  }

  enable(name: string): Promise<void> {
    return this.#change(name, { action: 'enable' });
  }

  disable(name: string): Promise<void> {
    return this.#change(name, { action: 'disable' });
  }

  /** Adds to `name` what is dirty in `source`, a bitmap of this disk or of another one of the same size. */
  merge(name: string, source: string, from: DiskBitmaps = this): Promise<void> {
    return this.#change(name, { action: 'merge', source, disk: from.#disk });
  }

  #change(name: string, change: BitmapChange): Promise<void> {
    return this.#call((api) => api.changeBitmap(this.#disk, name, change));
  }
}

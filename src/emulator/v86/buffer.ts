import { BlockError } from '../../block/error.ts';
import type { EmulatorDisk, NearDisk, SynchronousDisk } from '../disk.ts';
import { AsyncStore } from './async-store.ts';
import { NearStore } from './near-store.ts';
import type { DriveErrorEvent, DriveOperation, ReadErrorPolicy, WriteErrorPolicy } from './policy.ts';
import { DiskRequests, type DiskStatistics } from './requests.ts';
import { isFloppySize, paddedSize, type DriveMedia } from './sizes.ts';
import type { DiskStore } from './store.ts';

export interface V86DiskOptions {
  /** What to do when a read fails. Default `report`. */
  readonly readError?: ReadErrorPolicy;
  /** What to do when a write or a flush fails. Default `enospc`: stop when the storage is full, else report. */
  readonly writeError?: WriteErrorPolicy;
  /** Bytes of read cache on this side of the messages; 0 for none. Default 4 MiB. A synchronous disk has none. */
  readonly cacheSize?: number;
  /** The longest read-ahead in bytes; 0 for none. Default 512 KiB, at most half of the cache. */
  readonly readAhead?: number;
  /**
   * Milliseconds after a write until the disk is flushed if the guest did not ask for it, so that guests that never flush
   * (DOS, boot loaders) keep their data too; 0 for never. Default 1000.
   */
  readonly flushAfter?: number;
  /** What it is plugged in as. Default `disk`, which also serves for a CD-ROM; a floppy of an odd size needs `floppy`. */
  readonly media?: DriveMedia;
  /**
   * Names the disk's contents in machine states: a state is only restored onto a disk of the same identity and size.
   * Default: the size alone is compared.
   */
  readonly identity?: string;
  /** The machine was stopped by an error. `V86Drives.resume` goes on. */
  readonly onStop?: (event: DriveErrorEvent) => void;
  /** A request failed, whatever was done about it. */
  readonly onError?: (event: DriveErrorEvent) => void;
  /** A request of the guest, for disk lights. */
  readonly onActivity?: (kind: DriveOperation, bytes: number) => void;
}

const DEFAULT_CACHE_BYTES = 4 * 1024 * 1024;
const DEFAULT_READ_AHEAD_BYTES = 512 * 1024;
const DEFAULT_FLUSH_AFTER_MS = 1000;

/** How many bytes v86 looks at before the machine starts: the partition table, for the drive's geometry. */
const FIRST_SECTOR_BYTES = 512;

const STATE_VERSION = 1;

/**
 * A disk in the shape that v86 takes as `hda`, `hdb`, `cdrom`, `fda` or `fdb`. The members with underscores and the
 * callbacks are v86's (0.5.462, found in its `buffer.js`); programs use the others.
 */
export class V86Disk {
  /** Bytes that the guest sees. v86 reads it. */
  byteLength: number;
  /** Set by v86 before it calls `load`. */
  onload: ((event: object) => void) | undefined = undefined;
  onprogress: ((event: object) => void) | undefined = undefined;

  /** @internal What the drives' hooks work with. */
  readonly requests: DiskRequests;
  readonly #identity: string | undefined;
  readonly #media: DriveMedia;
  #firstSector: Uint8Array | undefined;

  /** @internal Made by `v86Disk` and `v86DiskSync`. */
  constructor(store: DiskStore, options: V86DiskOptions) {
    this.#media = options.media ?? 'disk';
    this.#identity = options.identity;
    this.byteLength = paddedSize(store.size, store.readOnly, this.#media);
    const { onStop, onError, onActivity } = options;
    this.requests = new DiskRequests(store, {
      readError: options.readError ?? 'report',
      writeError: options.writeError ?? 'enospc',
      flushAfter: options.flushAfter ?? DEFAULT_FLUSH_AFTER_MS,
      ...(onStop && { onStop }),
      ...(onError && { onError }),
      ...(onActivity && { onActivity }),
    });
    this.requests.paddedSize = this.byteLength;
  }

  get readOnly(): boolean {
    return this.requests.store.readOnly;
  }

  /** What the guest did so far. */
  get statistics(): DiskStatistics {
    return this.requests.statistics;
  }

  /**
   * Brings everything that the guest was told is written onto the disk.
   *
   * @throws whatever the disk's flush rejects with, or a write that failed when there was no drive to tell
   */
  async flush(): Promise<void> {
    await this.requests.flushNow();
  }

  /** Forgets what was cached. Call it after writing to the disk by other means. */
  invalidate(): void {
    this.requests.store.invalidate();
  }

  /**
   * @internal v86's floppy controller copies images of unknown sizes through this property, and would go on with a blank
   * disk. It also makes a `V86Disk` fit v86's type for images.
   */
  get buffer(): ArrayBuffer {
    if (this.#media !== 'floppy' && !isFloppySize(this.byteLength)) {
      throw new BlockError(
        'invalid',
        `v86 has no floppy of ${this.byteLength} bytes: pass { media: 'floppy' } to have it filled up to the next size.`,
      );
    }
    throw new BlockError('unsupported', 'The contents of this disk are not in memory: read them from the disk itself.');
  }

  /** @internal v86: start loading. Nothing has to be loaded. */
  load(): void {
    this.onload?.({});
  }

  /** @internal v86: read. `answer` may be called at once and copies. */
  get(
    offset: number,
    length: number,
    answer: (data: Uint8Array) => void,
    options?: { readonly signal?: AbortSignal },
  ): void {
    // v86 remembers a read that it aborted until its callback is called, and then ignores what it gets.
    const forget = (): void => {
      if (options?.signal?.aborted === true) answer(new Uint8Array(0));
    };
    this.requests.read(offset, length, answer, () => this.requests.host?.failed('read'), forget);
  }

  /** @internal v86: write. In an attached drive only DMA transfers come here, each with a buffer of its own. */
  set(offset: number, data: Uint8Array, answer: () => void): void {
    const { host } = this.requests;
    const own = host === undefined ? data.slice() : data;
    this.requests.write(offset, own, answer, () => this.requests.host?.failed('write'));
  }

  /**
   * @internal v86: the first sector, for the drive's geometry, before the machine starts. If it cannot be read the machine
   * starts with a guessed geometry, and the BIOS meets the error when it reads the sector itself.
   */
  get_and_cache(offset: number, length: number, answer: (data: Uint8Array) => void): void {
    // It does not reject.
    void this.#readFirst(offset, length).then(answer);
  }

  async #readFirst(offset: number, length: number): Promise<Uint8Array> {
    const { store } = this.requests;
    try {
      const data = (await store.read(offset, Math.min(length, store.size))).slice();
      if (offset === 0 && data.length === FIRST_SECTOR_BYTES) this.#firstSector = data;
      return data;
    } catch {
      return new Uint8Array(length);
    }
  }

  /** @internal v86: what `get_and_cache` found. */
  get_from_cache(offset: number, length: number): Uint8Array | undefined {
    return offset === 0 && length === FIRST_SECTOR_BYTES ? this.#firstSector : undefined;
  }

  /** @internal v86: the whole image, which is not in memory. */
  get_buffer(answer: (buffer?: ArrayBuffer) => void): void {
    answer();
  }

  /** @internal v86: plain data that says which disk the machine has; its contents are not part of a machine state. */
  get_state(): unknown[] {
    return [STATE_VERSION, this.byteLength, this.#identity ?? null];
  }

  /**
   * @internal v86: the machine was set back to a state.
   * @throws BlockError `invalid` if that machine had another disk
   */
  set_state(state: readonly unknown[] | undefined): void {
    this.requests.cancel();
    this.invalidate();
    if (state === undefined) return;
    const [version, size, identity] = state;
    if (version !== STATE_VERSION || size !== this.byteLength || identity !== (this.#identity ?? null)) {
      throw new BlockError(
        'invalid',
        'The machine state was saved with another disk than the one that is plugged in.',
        {
          detail: { saved: { size, identity }, present: { size: this.byteLength, identity: this.#identity ?? null } },
        },
      );
    }
  }

  /** @internal A CD drive reads whole sectors of 2048 bytes. */
  padForCdrom(): void {
    this.byteLength = paddedSize(this.requests.store.size, true, 'cdrom');
    this.requests.paddedSize = this.byteLength;
  }
}

/**
 * Makes a disk that v86 takes as `hda`, `hdb`, `cdrom`, `fda` or `fdb`. `attachDrives` completes it.
 *
 * @throws BlockError `invalid` for sizes that no drive has, `unsupported` for a disk of 2 TiB or more
 */
export function v86Disk(disk: EmulatorDisk, options: V86DiskOptions = {}): V86Disk {
  const cacheSize = options.cacheSize ?? DEFAULT_CACHE_BYTES;
  const readAhead = options.readAhead ?? DEFAULT_READ_AHEAD_BYTES;
  return new V86Disk(new AsyncStore(disk, { cacheSize, readAhead }), options);
}

/**
 * The same for an emulator that runs in the worker beside the core: no message, no cache, and no promise where the disk
 * needs none. DMA is then done when the guest's instruction that started it is.
 *
 * @param disk a `BlockBackend` of the core, or an object with `readSync`, `writeSync` and `flushSync`
 *
 * @throws BlockError as `v86Disk`
 */
export function v86DiskSync(disk: SynchronousDisk | NearDisk, options: V86DiskOptions = {}): V86Disk {
  return new V86Disk(new NearStore(disk), options);
}

/** What `connect` gives: the block layer in its worker. */
import { proxy } from 'comlink';
import { BlockError } from '../block/error.ts';
import type {
  Archive,
  BlockdevOptions,
  CreateOptions,
  FileAnswer,
  FileQuestion,
  FileRequest,
  ImageProbe,
  OpenSettings,
  ProtocolOptions,
} from '../worker/api.ts';
import { BufferPool } from './buffer-pool.ts';
import { callWith, type CallOptions } from './call.ts';
import { Disk } from './disk.ts';
import { BrowserFiles } from './files.ts';
import { closedError, type WorkerLink } from './link.ts';
import { withAbsoluteUrls } from './urls.ts';

export interface OpenOptions {
  /**
   * Which files images may open that name them: names as they stand in the headers, or a function that says yes, no, or what to
   * open instead. Default: none. A function that throws says no.
   */
  readonly allow?: readonly string[] | ((request: FileRequest) => FileAnswer | Promise<FileAnswer>) | undefined;
  /** How many images may stand on one another; default 200. */
  readonly maxChainDepth?: number | undefined;
  /** Open to check or to repair: what a check can mend is no reason to refuse. */
  readonly check?: boolean | undefined;
  /** Open to look at `info`, `map` and `check`: nothing that the image names is opened, and no data can be read. */
  readonly inspect?: boolean | undefined;
  /** Show a snapshot instead of the disk: its id, or its name. Pass `'read-only': true` in the options with it. */
  readonly snapshot?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface UnpackOptions extends CallOptions {
  /** Bytes that the image may become: more is refused, whatever the file says of itself. */
  readonly limit: number;
  /** Of a zip file: which file; default: the largest. */
  readonly entry?: string | undefined;
  /** Write over a file that exists. Default: no. */
  readonly overwrite?: boolean | undefined;
}

export interface CreateSettings extends CallOptions {
  /** Write over a file that exists. Default: no. */
  readonly overwrite?: boolean | undefined;
}

/** A connection to a worker. Every method rejects with a BlockError, of kind `closed` once the connection has ended. */
export class Spindle {
  /** The files that the browser keeps for this site. */
  readonly files: BrowserFiles;
  /** Resolves when the connection has ended: to undefined after `close`, to the reason when the worker died. Never rejects. */
  readonly closed: Promise<BlockError | undefined>;
  readonly #link: WorkerLink;
  readonly #terminate: () => void;
  readonly #pool = new BufferPool();
  readonly #disks = new Set<Disk>();
  #closing: Promise<void> | undefined;

  /** Made by `connect`. @param terminate ends the worker, if it is this connection's own */
  constructor(link: WorkerLink, terminate: () => void) {
    this.#link = link;
    this.#terminate = terminate;
    this.files = new BrowserFiles(link);
    this.closed = link.ended;
  }

  /**
   * Gives the worker the passphrase of encrypted images. Options name it by its ID: `encrypt: { 'key-secret': id }` of qcow2,
   * `key-secret` of luks. It is kept in the worker's memory until `removeSecret` or `close`, and shown nowhere.
   *
   * @param passphrase text, which is taken as UTF-8, or bytes
   * @throws BlockError `exists` when there is a secret of that ID
   */
  addSecret(id: string, passphrase: string | Uint8Array): Promise<void> {
    const data = typeof passphrase === 'string' ? new TextEncoder().encode(passphrase) : passphrase.slice();
    return this.#call((api) => api.setSecret(id, data));
  }

  /** Forgets a passphrase. Disks that were opened with it stay open. */
  removeSecret(id: string): Promise<void> {
    return this.#call((api) => api.setSecret(id, undefined));
  }

  /**
   * Makes an empty image, or with a protocol as `driver` an empty file.
   *
   * @param options the driver, where to (`file`), and the driver's create options with qemu-img's names (`-o`)
   * @throws BlockError `invalid` for options that the driver does not take, `exists` unless `overwrite` is set, `busy`, `no-space`,
   * `aborted`; then there is no file
   */
  create(options: CreateOptions, settings: CreateSettings = {}): Promise<void> {
    const { overwrite = false } = settings;
    const absolute = withAbsoluteUrls(options);
    return callWith('create', settings, (call) => this.#call((api) => api.create(absolute, overwrite, call)));
  }

  /**
   * Opens a disk.
   *
   * @param options as QEMU's `blockdev-add` takes them, nested; or a file name, whose format is probed and which opens read-only
   * @throws BlockError `invalid`, `not-found`, `busy` when it is in use elsewhere, `permission` when it is in use here, `denied` for a
   * file that an image names and `allow` does not, `base-changed`, `corrupt`, `unsupported`, `aborted`; then nothing stays open
   */
  async open(options: BlockdevOptions | string, settings: OpenOptions = {}): Promise<Disk> {
    const { allow = [] } = settings;
    const question = typeof allow === 'function' ? proxy(carefully(allow)) : undefined;
    const absolute = withAbsoluteUrls(options);
    const opened = await callWith('open', settings, (call) =>
      this.#call((api) => api.open(absolute, openSettings(settings), question, call)),
    );
    const disk = new Disk(opened, this.#link, this.#pool, (closed) => this.#disks.delete(closed));
    this.#disks.add(disk);
    return disk;
  }

  /**
   * Finds out what format a file has, and opens nothing that it names.
   *
   * @param file options of what it is stored in, or a file name
   * @returns the format, how sure that is (0 to 100), and every other format that found something
   */
  probe(file: ProtocolOptions | string, options: CallOptions = {}): Promise<ImageProbe> {
    const absolute = withAbsoluteUrls(file);
    return callWith('probe', options, (call) => this.#call((api) => api.probe(absolute, call)));
  }

  /**
   * Looks whether a file is a gzip, xz or zip file.
   *
   * @returns what is in it, and how large it is where the file says so; undefined when it is none
   * @throws BlockError `corrupt`, `unsupported`, and what the storage reports
   */
  probeArchive(file: ProtocolOptions | string, options: CallOptions = {}): Promise<Archive | undefined> {
    const absolute = withAbsoluteUrls(file);
    return callWith('probe', options, (call) => this.#call((api) => api.probeArchive(absolute, call)));
  }

  /**
   * Unpacks the image in a gzip, xz or zip file into a file of its own, as a stream.
   *
   * @param target where to, such as `{ driver: 'opfs', path: 'images/disk.img' }`
   * @returns bytes of the image
   * @throws BlockError `invalid` when it becomes more than `limit`, `corrupt`, `unsupported`, `exists`, `no-space`, `aborted`; then
   * there is no file
   */
  unpack(file: ProtocolOptions | string, target: ProtocolOptions, options: UnpackOptions): Promise<number> {
    const { limit, entry, overwrite = false } = options;
    const absolute = withAbsoluteUrls(file);
    return callWith('unpack', options, (call) =>
      this.#call((api) => api.unpack(absolute, target, { limit, entry, overwrite }, call)),
    );
  }

  /** Deletes a file that nobody has open. @throws BlockError `not-found`, `busy`, `unsupported` */
  delete(file: ProtocolOptions | string): Promise<void> {
    return this.#call((api) => api.delete(file));
  }

  /**
   * Closes every disk, and the worker unless the caller brought it. Further calls give the same promise.
   *
   * @throws BlockError when a disk could not be flushed; everything is closed all the same
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #call<T>(begin: (api: WorkerLink['api']) => Promise<T>): Promise<T> {
    return this.#closing === undefined ? this.#link.call(begin) : Promise.reject(closedError());
  }

  async #close(): Promise<void> {
    // A worker that died is closed already: that was told to whom it concerned.
    if (this.#link.hasEnded) return;
    try {
      const closed = await Promise.allSettled([...this.#disks].map((disk) => disk.close()));
      await this.#link.call((api) => api.end());
      const failed = closed.find((result) => result.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    } finally {
      this.#link.close();
      this.#terminate();
    }
  }
}

function openSettings(options: OpenOptions): OpenSettings {
  const { allow, maxChainDepth, check = false, inspect = false, snapshot } = options;
  return {
    allow: typeof allow === 'function' ? [] : [...(allow ?? [])],
    check,
    inspect,
    snapshot,
    ...(maxChainDepth === undefined ? {} : { maxChainDepth }),
  };
}

/** A policy that fails refuses, and its error is kept as the cause. */
function carefully(allow: FileQuestion): FileQuestion {
  return async (request) => {
    try {
      return withAbsoluteUrls(await allow(request));
    } catch (cause) {
      throw new BlockError(
        'denied',
        `The function that was asked whether to open '${request.filename}' failed`,
        { filename: request.filename },
        { cause },
      );
    }
  };
}

/** Protocol drivers, and what they open: where bytes live. */
import type { MaybePromise } from './co.ts';
import type { OptionSchema, OptionValues } from './options.ts';
import type { BlockLimits, OpenFlags } from './request.ts';

/** Options of a node as a caller passes them: `driver`, the generic ones, and the driver's own. */
export interface BlockdevOptions {
  readonly driver?: string;
  readonly 'node-name'?: string;
  readonly [option: string]: unknown;
}

export interface ProtocolDriver<Schema extends OptionSchema = OptionSchema> {
  readonly kind: 'protocol';
  /** QEMU's name where QEMU has the driver; `opfs`, `indexeddb` and `blob` are this project's own. */
  readonly name: string;
  readonly options: Schema;
  /** Whether this environment has what the driver needs. */
  isAvailable(): boolean;
  /** Options for a filename of this protocol (`http://…`, `opfs:disks/a.img`), or undefined if it is not one. */
  parseFilename?(filename: string): BlockdevOptions | undefined;
  /** The name that people and image headers know the file by. Probing looks at its ending. Never holds a secret. */
  filename(options: OptionValues<Schema>): string;
  /** Options for a relative name found in a file of this protocol: `base.img` beside `disks/mine.qcow2`. */
  resolve?(options: OptionValues<Schema>, reference: string): BlockdevOptions;
  /** @throws BlockError `not-found`, `busy`, `permission`, `io`, `unsupported` */
  open(options: OptionValues<Schema>, flags: OpenFlags): Promise<Storage>;
  /** Makes an empty file of `size` bytes of zeroes; an existing one is emptied. */
  create?(options: OptionValues<Schema>, size: number): Promise<void>;
  delete?(options: OptionValues<Schema>): Promise<void>;
}

/** What tells two versions of a file apart without reading it all. */
export interface StorageIdentity {
  /** Bytes. */
  readonly size: number;
  /** A strong entity tag, quotes included. */
  readonly etag?: string;
  /** As the server or the file system says it, in milliseconds since 1970. */
  readonly lastModifiedMs?: number;
}

/**
 * An opened protocol: where bytes live, and the only objects that create promises. Requests obey `limits`; the core sees to it.
 *
 * The buffer that `read` gets belongs to the caller again only when the call has returned or its promise has settled, and
 * nothing touches it afterwards. A `write` has taken what it needs of `data` when its result is there.
 */
export interface Storage {
  /** No method but `close` ever returns a promise. */
  readonly synchronous: boolean;
  readonly readOnly: boolean;
  readonly limits: BlockLimits;
  /** Bytes. Cheap: the core asks at open and after `truncate`, and keeps count of growing writes itself. */
  getLength(): MaybePromise<number>;
  /** Fills the buffer; what is past the end reads as zeroes. */
  read(offset: number, buffer: Uint8Array): MaybePromise<void>;
  /** Writes; past the end it grows, and a gap reads as zeroes. @throws BlockError `no-space`, `io` */
  write(offset: number, data: Uint8Array): MaybePromise<void>;
  /** Makes zeroes without data being passed. Where it is missing the core writes a buffer of zeroes. */
  writeZeroes?(offset: number, length: number, mayUnmap: boolean): MaybePromise<void>;
  /** Gives space back; what it reads as afterwards is zeroes. */
  discard?(offset: number, length: number): MaybePromise<void>;
  /** Where data and holes are: the answer covers `length` bytes from the offset, at least 1 and at most what was asked for. */
  blockStatus?(offset: number, length: number): MaybePromise<{ readonly length: number; readonly zero: boolean }>;
  /** Cuts or grows (with zeroes) to a length in bytes. */
  truncate(length: number): MaybePromise<void>;
  /** Everything that was written before is on stable storage when it returns. */
  flush(): MaybePromise<void>;
  /** Bytes that it takes on its medium, where that can be told. */
  allocatedSize?(): MaybePromise<number>;
  identity?(): MaybePromise<StorageIdentity | undefined>;
  /** Changes between read-only and writable, all or nothing. Missing: close and open again. QEMU: bdrv_reopen. */
  reopen?(flags: OpenFlags): Promise<void>;
  /** Flushes nothing by itself: who wants that calls `flush` before. Releases locks whatever happens. */
  close(): MaybePromise<void>;
}

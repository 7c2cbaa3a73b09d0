/**
 * What a driver is. A driver is one literal that declares what it can do and opens things; importing it has no side effect.
 * Protocol drivers say how bytes are stored, format drivers where guest bytes live in a file, filter drivers change what
 * happens to requests on their way.
 */
import type { BitmapSet } from './bitmap/bitmap-set.ts';
import type { BlockChild, ChildRole } from './block-child.ts';
import type { CheckFix, CheckResult } from './check-result.ts';
import type { Co, MaybePromise } from './co.ts';
import type { CompressionSet } from './compression.ts';
import type { BlockEvent } from './events.ts';
import type { Extent } from './extent.ts';
import type { OptionSchema, OptionValues } from './options.ts';
import type { BlockLimits, OpenFlags, RequestFlags } from './request.ts';
import type { SnapshotTable } from './snapshot.ts';
import type { BlockdevOptions, ProtocolDriver } from './storage.ts';

export type * from './block-child.ts';
export type * from './check-result.ts';
export { BYTE_LIMITS, NO_FLAGS } from './request.ts';
export type * from './request.ts';
export type * from './snapshot.ts';
export type * from './storage.ts';

// ── Formats ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What probing may look at: the first and last bytes of a file, and its name's ending. Nothing is opened. */
export interface ProbeInput {
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
  readonly size: number;
  readonly filename: string;
}

export interface FormatCapabilities {
  readonly write: boolean;
  readonly create: boolean;
  readonly backing: boolean;
  readonly snapshots: boolean;
  readonly bitmaps: boolean;
  readonly check: boolean;
  readonly repair: boolean;
  readonly resize: boolean;
  readonly compress: boolean;
}

/** What a format cannot do unless its driver says that it can. */
export const NO_CAPABILITIES: FormatCapabilities = {
  write: false,
  create: false,
  backing: false,
  snapshots: false,
  bitmaps: false,
  check: false,
  repair: false,
  resize: false,
  compress: false,
};

export interface FormatDriver<
  OpenSchema extends OptionSchema = OptionSchema,
  CreateSchema extends OptionSchema = OptionSchema,
> {
  readonly kind: 'format';
  /** QEMU's name, as in `-f`. */
  readonly name: string;
  readonly capabilities: FormatCapabilities;
  readonly openOptions: OpenSchema;
  readonly createOptions: CreateSchema;
  /** False: a new image does not read as zeroes before it is written, so who fills one writes zeroes too. QEMU: bdrv_has_zero_init. */
  readonly hasZeroInit?: false;
  /** How sure the format is that this is one of its files, 0 to 100. Pure. */
  probe(input: ProbeInput): number;
  open(context: OpenContext<OptionValues<OpenSchema>>): Co<FormatImage>;
  /** Writes an empty image into an empty file. Everything it wrote is flushed when it returns. */
  create?(file: BlockChild, options: OptionValues<CreateSchema>, context: CreateContext): Co<void>;
  /** What `amend` of its images takes, with qemu-img's names (`-o`). Missing: nothing can be amended. */
  readonly amendOptions?: OptionSchema;
  /** Lays an image out front to back, for downloads. Missing: the format cannot be written as a stream. */
  readonly sequential?: {
    /** Bytes of guest data that are stored or left out as one. */
    readonly unit: number;
    /** Zeroes are stored like data: every unit follows, and the last one ends where the disk ends. */
    readonly storesZeroes: boolean;
    /** @param isData whether unit number n of the disk holds data; asked in any order, as often as needed */
    layout(virtualSize: number, isData: (unit: number) => boolean): SequentialLayout;
  };
  /** Bytes that a new image of these options takes: with only `dataBytes` of data in it, and when it is full. */
  measure?(options: OptionValues<CreateSchema>, dataBytes: number): { required: number; fullyAllocated: number };
}

/**
 * An image that is written front to back. First `head`, then the units that hold data, in guest order, each whole: the last one
 * of the disk is filled up with zeroes.
 */
export interface SequentialLayout {
  /** Bytes of the whole file. */
  readonly totalBytes: number;
  /** The metadata, in pieces of any length. */
  head(): Iterable<Uint8Array>;
}

/** A file that an image header names. */
export interface FileReference {
  /** As it stands in the header. */
  readonly filename: string;
  /** The format that the header says it has; undefined: it says nothing, so it must be told or probed. */
  readonly format?: string;
}

export interface OpenContext<Options = Readonly<Record<string, unknown>>> {
  /** Name of the node that is being opened, for messages. */
  readonly nodeName: string;
  readonly file: BlockChild;
  readonly options: Options;
  readonly flags: OpenFlags;
  /**
   * Opens a file that the image names (an external data file, an extent; not the backing file, which the core opens), by the
   * gate or not at all. If the caller passed options for a child of that name, those are used and the header's name is not.
   *
   * @throws BlockError `denied` when the policy does not allow it
   */
  openReference(name: string, reference: FileReference | undefined, roles: readonly ChildRole[]): Co<BlockChild>;
  /** The bytes of a passphrase that the caller gave to the graph under a name. QEMU: `-object secret`. @throws BlockError `not-found` */
  secret(id: string): Uint8Array;
  /** What compresses and decompresses here. */
  readonly compression: CompressionSet;
}

/** What a driver may ask for while it makes an image. */
export interface CreateContext {
  readonly progress?: Progress | undefined;
  /** The name that the image will go by, where its file has another one until it is whole. */
  readonly filename?: string | undefined;
  /** As in `OpenContext`. */
  secret(id: string): Uint8Array;
  /**
   * The version that an image of a backing file has: `FormatImage.lineage`.
   *
   * @param filename as the caller gave it, who names the file, so it may be opened
   * @returns undefined when images of the format have no such thing
   * @throws BlockError what opening it throws
   */
  lineageOf(filename: string, format: string): Co<string | undefined>;
  /**
   * Makes another file of the image (an extent, an external data file), named as the image's header will name it: relative names
   * are beside the image. The core closes it when the image is made, and deletes it if that fails.
   *
   * @param size bytes of zeroes that it holds at first
   * @throws BlockError `exists` unless the caller asked to write over what is there, `invalid`, and what the storage reports
   */
  createFile(filename: string, size: number): Co<BlockChild>;
}

export interface Progress {
  /** @param done bytes done of @param total. Throws BlockError `aborted` when the caller gave up. */
  report(done: number, total: number): void;
}

export type Preallocation = 'off' | 'metadata' | 'falloc' | 'full';

/** An opened image. It says where guest bytes live, and moves only those that it must decode. */
export interface FormatImage {
  /** Bytes; a multiple of 512. */
  readonly virtualSize: number;
  readonly limits: BlockLimits;
  /**
   * Bytes in the unit of allocation (a cluster), or 1. The core never has two requests in flight that touch one unit when one
   * of them allocates, zeroes or discards.
   */
  readonly allocationUnit: number;
  /** Bytes that `markZero` can make zero on their own; missing: an allocation unit. */
  readonly zeroUnit?: number;
  /** Units are stored compressed only: jobs that fill an image should write whole ones so. QEMU: needs_compressed_writes. */
  readonly needsCompressedWrites?: boolean;
  /** The backing file that the header names, or undefined. */
  readonly backing: FileReference | undefined;
  /** Whether bytes that no layer holds are zero (always so, but for a preallocated raw device). QEMU: has_zero_init. */
  readonly hasZeroInit: boolean;
  /** The image is its file byte for byte (`raw`): what the file knows of its holes is true of the disk. QEMU: BDRV_BLOCK_RECURSE. */
  readonly statusFromFile?: boolean;
  /** Data may lie in holes of a child, which is asked then: extents of a fixed size. QEMU: BDRV_BLOCK_RECURSE. */
  readonly dataInHoles?: boolean;

  /**
   * What the guest range starting at `offset` is in this layer. No I/O when the table is in the cache.
   *
   * @param offset guest offset, below `virtualSize`
   * @param length bytes, at least 1, ending at or before `virtualSize`
   */
  map(offset: number, length: number): MaybePromise<Extent>;

  /**
   * Reserves space for a write that `map` shows no writable place for. The core keeps other requests away from the touched
   * units until the allocation has been committed or aborted. May cover less than asked for.
   */
  allocate?(offset: number, length: number): MaybePromise<Allocation>;

  /**
   * Makes whole zero units read as zero. `offset` is aligned to them, `length` too unless the range ends at the end of the disk.
   * @returns bytes done from `offset`; 0 when the format cannot do it there and zeroes must be written as data
   */
  markZero?(offset: number, length: number, flags: RequestFlags): MaybePromise<number>;

  /** Gives whole units back. They read as zero afterwards, or as the format documents. @returns bytes done, 1 or more */
  discard?(offset: number, length: number): MaybePromise<number>;

  /** Reads a range inside one `encoded` extent. */
  readEncoded?(offset: number, buffer: Uint8Array): MaybePromise<void>;

  /** Writes whole units compressed, or any range of an encrypted image: the format's own business from end to end. */
  writeEncoded?(offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void>;

  /**
   * Changes the disk's size. Shrinking below data loses it: who calls has asked for that.
   *
   * @param zeroUntil when growing: where the backing file ends. Whole units between the old end and there are made to read as
   *   zero before the new size is published, or what the backing file holds would show
   */
  resize?(virtualSize: number, preallocation: Preallocation, zeroUntil: number): MaybePromise<void>;

  check?(fix: CheckFix, progress?: Progress): MaybePromise<CheckResult>;

  /** Changes what the header says of the backing file; undefined: none any more. QEMU: change_backing_file. */
  changeBackingFile?(reference: FileReference | undefined): MaybePromise<void>;

  /** Gives every cluster back, so that the backing file shows through everywhere. QEMU: make_empty. */
  makeEmpty?(): MaybePromise<void>;

  /**
   * Changes what the image was created with.
   *
   * @param options of the driver's `amendOptions`, parsed; those that are not given stay
   * @throws BlockError `unsupported` for a change that this image does not allow; it is as it was before then
   */
  amend?(options: Readonly<Record<string, unknown>>, context: AmendContext): MaybePromise<void>;

  /** Dirty bitmaps that are kept in the image. Missing: the format keeps none. */
  readonly bitmaps?: PersistentBitmaps | undefined;

  /** Snapshots inside the image. Missing: the format has none. */
  readonly snapshots?: SnapshotTable | undefined;

  /**
   * What names this version of the image, and which version of its parent it was made on, in formats that keep such a thing (VMDK's
   * CIDs, the UUIDs of VDI and VHD). The core refuses a parent of the same format that is another one.
   */
  readonly lineage?: { readonly own: string; readonly parent?: string } | undefined;

  /** What the image remembers of its base's identity, a text that only the core understands. */
  readonly backingIdentity?: string | undefined;
  setBackingIdentity?(identity: string): MaybePromise<void>;

  info(): FormatInfo;

  /**
   * Everything that was written through this image is on stable storage when it returns, tables in an order that a power cut
   * at any point does no harm. Missing: the core flushes the children.
   */
  flush?(): MaybePromise<void>;

  /** From read-only to writable or back, before the children change (`prepare`), as QEMU's reopen. Missing: not possible. */
  reopen?(readOnly: boolean): MaybePromise<void>;

  /** Writes what is left to write and marks the image clean. The core closes the children afterwards, whatever happens here. */
  close(): MaybePromise<void>;
}

export interface AmendContext {
  readonly progress?: Progress | undefined;
  secret(id: string): Uint8Array;
  /** Changes the size of the disk, by way of its node. @param size bytes */
  resize(size: number): MaybePromise<void>;
  /** Amend what should rather not be touched, such as the last key slot. QEMU: `--force`. */
  readonly force?: boolean;
}

// ── Dirty bitmaps ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Dirty bitmaps that an image keeps. They are stored when it is closed. */
export interface PersistentBitmaps {
  /** The bitmaps of the disk, those of the image among them once they are loaded: as soon as it is opened, if it is writable. */
  readonly set: BitmapSet;
  /** Loads those of a read-only image. @throws BlockError `corrupt` when they are broken, `io` */
  load(): MaybePromise<BitmapSet>;
  /** @throws BlockError when no such bitmap can be kept, in QEMU's words */
  checkNew(name: string, granularity: number): void;
  /** Removes a bitmap from the set and from the image. On stable storage when it returns. */
  remove(name: string): MaybePromise<void>;
}

/** Space that is reserved and not yet visible: write the data and the copied edges, then publish. QEMU: QCowL2Meta. */
export interface Allocation {
  readonly child: BlockChild;
  /** Where the data goes. */
  readonly hostOffset: number;
  /** Guest bytes covered, from the offset that was asked for; 1 or more. */
  readonly length: number;
  /** Bytes right before the range that must be filled with what the guest sees there now, at `hostOffset - copyBefore`. */
  readonly copyBefore: number;
  /** The same after the range, at `hostOffset + length`. */
  readonly copyAfter: number;
  /** The reserved space is known to read as zeroes: edges that are zero need not be written. */
  readonly zeroed: boolean;
  /** Publishes the mapping. The data has been written (not flushed) before. */
  commit(): MaybePromise<void>;
  /** Gives the space back: the write failed. */
  abort(): MaybePromise<void>;
}

export interface FormatInfo {
  readonly format: string;
  readonly virtualSize: number;
  readonly clusterSize?: number;
  readonly backingFilename?: string;
  readonly backingFormat?: string;
  readonly dirty?: boolean;
  readonly corrupt?: boolean;
  readonly encrypted?: boolean;
  /** `format-specific` of qemu-img info, with QEMU's key names. Plain data. */
  readonly specific: Readonly<Record<string, unknown>>;
}

// ── Filters ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface FilterDriver<Schema extends OptionSchema = OptionSchema> {
  readonly kind: 'filter';
  readonly name: string;
  readonly options: Schema;
  /** QEMU's name of the child that requests are passed on to; without it `file`. */
  readonly childName?: string;
  /**
   * Options for a filename with the filter's prefix (`blkdebug:config:image`), or undefined if it has none.
   *
   * @throws BlockError `invalid` when it has the prefix and the rest is not complete
   */
  parseFilename?(filename: string): BlockdevOptions | undefined;
  open(context: FilterContext<OptionValues<Schema>>): Co<Filter>;
}

/** What a filter may ask for while it is opened. `file` is the child that requests are passed on to, whatever its name. */
export interface FilterContext<Options = Readonly<Record<string, unknown>>> extends OpenContext<Options> {
  /**
   * Reads a small file that the caller's own options name, such as a file of rules.
   *
   * @param maxBytes a larger one is refused. @throws BlockError `invalid`, `not-found`, and what its protocol reports
   */
  readFile(filename: string, maxBytes: number): Co<Uint8Array>;
  /** What the caller gave to the graph under an id (`--object`), of whatever type. @throws BlockError `not-found` */
  object(id: string): unknown;
  /**
   * Whether the layers of `file` hold the start of a range: all down to `bottom` and that one too.
   *
   * @param bottom name of a node of the chain. @returns the answer, and how many bytes it is true for, 1 or more
   */
  allocatedAbove(offset: number, length: number, bottom: string): Co<{ length: number; allocated: boolean }>;
}

/** A filter never changes what is read. A method that is missing passes straight through. */
export interface Filter {
  /** No method but `close` ever returns a promise of its own making: over synchronous children the filter is synchronous too. */
  readonly synchronous?: boolean;
  /** What requests to the filter must look like; the core aligns and splits them. Missing: as for its child. */
  readonly limits?: FilterLimits;
  /** Bytes, where that is not the child's length. */
  length?(next: BlockChild): number;
  read?(next: BlockChild, offset: number, buffer: Uint8Array, flags: RequestFlags): MaybePromise<void>;
  write?(next: BlockChild, offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void>;
  writeZeroes?(next: BlockChild, offset: number, length: number, flags: RequestFlags): MaybePromise<void>;
  discard?(next: BlockChild, offset: number, length: number): MaybePromise<void>;
  flush?(next: BlockChild): MaybePromise<void>;
  truncate?(next: BlockChild, length: number): MaybePromise<void>;
  /** Somebody asks what a range is. May wait or fail; the answer itself comes from below. */
  beforeStatus?(offset: number, length: number): MaybePromise<void>;
  event?(name: BlockEvent): void;
  /** For those that debug: stopping requests at events. */
  readonly debug?: DebugPoints;
  /** From now on requests may not be held back, and those that are held back go on, in order. Pairs with `drainEnd`; may nest. */
  drainBegin?(): void;
  drainEnd?(): void;
  /** The child is still open. */
  close?(next: BlockChild): MaybePromise<void>;
}

/** Told when a request is stopped at a breakpoint, and when it goes on. */
export type SuspendObserver = (what: 'suspended' | 'resumed', tag: string) => void;

/** Breakpoints at events. QEMU: bdrv_debug_breakpoint and its fellows. */
export interface DebugPoints {
  /** Stops the next request that passes an event. @throws BlockError `not-found` for what is no event */
  breakpoint(event: string, tag: string): void;
  /** Forgets the breakpoints of a tag and lets the requests go on that it stopped. @returns whether there were any */
  removeBreakpoint(tag: string): boolean;
  /** Lets a stopped request go on. @returns whether there was one */
  resume(tag: string): boolean;
  isSuspended(tag: string): boolean;
  observe(observer: SuspendObserver | undefined): void;
}

export interface FilterLimits extends BlockLimits {
  /** Longest write-zeroes request; 0 means no limit. Longer ones are split. */
  readonly writeZeroesMax: number;
  /** Longest discard; 0 means no limit. */
  readonly discardMax: number;
}

export type BlockDriver = ProtocolDriver | FormatDriver | FilterDriver;

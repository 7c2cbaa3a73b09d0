/** Requests to a node: what they may ask for, and what they must look like. */

export interface RequestFlags {
  /** The write is on stable storage before it is answered. The node that it is for sees to it: drivers are never asked. */
  readonly fua?: boolean;
  /** Zeroes may be made by giving space back. */
  readonly mayUnmap?: boolean;
  /** The write does not change what is read: copy-on-read, commit. */
  readonly writeUnchanged?: boolean;
  /** Zeroes that would have to be written as data are refused. QEMU: BDRV_REQ_NO_FALLBACK. */
  readonly noFallback?: boolean;
  /** Store the data compressed, if the format can. */
  readonly compressed?: boolean;
  /** What only the backing chain holds is written into this layer before it is given to the reader. QEMU: BDRV_REQ_COPY_ON_READ. */
  readonly copyOnRead?: boolean;
  /** Fetch into caches only. */
  readonly prefetch?: boolean;
}

export const NO_FLAGS: RequestFlags = Object.freeze({});

/** What requests to a node or storage must look like. Bytes; alignments are powers of two. */
export interface BlockLimits {
  /** Offsets and lengths are multiples of this. The core aligns requests; callers need not. */
  readonly requestAlignment: number;
  /** No longer request is passed on; 0 means no limit. */
  readonly transferMax: number;
  /** A good size for requests of a long sequential job; 0 means no preference. */
  readonly transferOptimal: number;
  readonly writeZeroesAlignment: number;
  readonly discardAlignment: number;
}

export const BYTE_LIMITS: BlockLimits = Object.freeze({
  requestAlignment: 1,
  transferMax: 0,
  transferOptimal: 0,
  writeZeroesAlignment: 1,
  discardAlignment: 1,
});

export interface OpenFlags {
  readonly readOnly: boolean;
  /** Opened to be checked or repaired: what a check can mend is no reason to refuse. */
  readonly check?: boolean;
  /** Opened to be looked at only: nothing that the image names is opened, but for extents that the gate lets pass. */
  readonly inspect?: boolean;
  /** Do not refuse because another user has it open for writing; read-only opens only. QEMU: force-share. */
  readonly forceShare?: boolean;
  /** Flushes are left out: a power cut loses what it likes. QEMU: cache.no-flush. */
  readonly noFlush?: boolean;
  /** The host's cache was to be passed by. No storage here can, so it only decides what goes with it. QEMU: cache.direct. */
  readonly direct?: boolean;
}

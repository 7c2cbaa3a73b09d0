/** The core's own limits. A format's limits on what it reads from an image are in that format's `layout.ts`. */

/** Offsets and lengths are JavaScript numbers: everything stays below this. */
export const MAX_OFFSET = Number.MAX_SAFE_INTEGER;

/** Unit of emulated disks: the length of an image node is a multiple of it. */
export const SECTOR_SIZE = 512;

/** How many images may stand on one another before an open is refused. */
export const DEFAULT_MAX_CHAIN_DEPTH = 200;

/** How many requests to children one large request may have in flight. QEMU's task pools use 8 too. */
export const REQUEST_PARALLELISM = 8;

/** Probing looks at this many bytes at each end of a file. */
export const PROBE_BYTES = 4096;

/** Zeroes are written from one shared buffer of this size where a storage cannot make them itself. */
export const ZERO_BUFFER_BYTES = 1024 * 1024;

/** Copy-on-read fills an image in pieces of about this many bytes. */
export const COPY_ON_READ_BYTES = 1024 * 1024;

/** An allocating write up to this size is joined with its copied edges into one write; above it three writes cost less. */
export const JOINED_WRITE_BYTES = 1024 * 1024;

/** Copied edges that are longer together (a format may have clusters of a gigabyte) are copied in pieces of this size. */
export const COPIED_EDGE_BYTES = 4 * 1024 * 1024;

/** How long a synchronous graph may keep the event loop waiting inside one long operation. */
export const TIME_SLICE_MS = 8;

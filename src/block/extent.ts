import type { BlockChild } from './driver.ts';

/**
 * What the start of a guest range is, in one layer only. `length` is 1 or more and never reaches past the range that was asked
 * for. All extents are made by the functions below, so they share one shape: the reading path looks at them a million times
 * a second.
 */
export type Extent = DataExtent | ZeroExtent | BackingExtent | EncodedExtent;

/** The bytes are stored as they are, at `hostOffset` of a child. */
export interface DataExtent {
  readonly kind: 'data';
  readonly length: number;
  readonly child: BlockChild;
  readonly hostOffset: number;
  /** Whether a write may go there as it is: not shared with a snapshot, not preallocated under a zero flag. */
  readonly writable: boolean;
}

/** The bytes are zero, whatever the backing file holds. `allocated`: clusters are reserved for them in the image. */
export interface ZeroExtent {
  readonly kind: 'zero';
  readonly length: number;
  readonly child: undefined;
  readonly hostOffset: number;
  readonly writable: boolean;
}

/**
 * This layer holds nothing: the backing file answers, and where there is none the bytes are zero. The rest of a cluster may be held:
 * then the place of this part is known all the same.
 */
export interface BackingExtent {
  readonly kind: 'backing';
  readonly length: number;
  readonly child: undefined;
  readonly hostOffset: number;
  readonly writable: false;
}

/** The image must decode the bytes: `readEncoded` reads them. `writable` then means that `writeEncoded` overwrites in place. */
export interface EncodedExtent {
  readonly kind: 'encoded';
  readonly length: number;
  readonly child: undefined;
  readonly hostOffset: number;
  readonly writable: boolean;
  readonly encoding: 'compressed' | 'encrypted';
}

/** Host offset of an extent that has no place of its own in a file. */
export const NO_OFFSET = -1;

export function dataExtent(child: BlockChild, hostOffset: number, length: number, writable: boolean): DataExtent {
  return { kind: 'data', length, child, hostOffset, writable };
}

/** @param hostOffset where clusters are reserved for the zeroes, or `NO_OFFSET`. */
export function zeroExtent(length: number, hostOffset: number = NO_OFFSET): ZeroExtent {
  return { kind: 'zero', length, child: undefined, hostOffset, writable: false };
}

export function backingExtent(length: number, hostOffset: number = NO_OFFSET): BackingExtent {
  return { kind: 'backing', length, child: undefined, hostOffset, writable: false };
}

export function encodedExtent(
  length: number,
  encoding: 'compressed' | 'encrypted',
  hostOffset: number = NO_OFFSET,
  writable = false,
): EncodedExtent {
  return { kind: 'encoded', length, child: undefined, hostOffset, writable, encoding };
}

/** What a guest range is, resolved through the whole chain. One answer covers `length` bytes from `offset`. */
export interface BlockStatus {
  /** Guest offset in the node that was asked. */
  readonly offset: number;
  readonly length: number;
  /** How many layers down the answer was found: 0 is the node itself. */
  readonly depth: number;
  /** A layer of the chain says what these bytes are; false where no layer holds anything for them. */
  readonly present: boolean;
  /** The bytes are stored somewhere and must be read to be known. */
  readonly data: boolean;
  /** The bytes read as zero. */
  readonly zero: boolean;
  readonly compressed: boolean;
  /** Past the end of a backing file that is shorter than what stands on it: zero, as if the layer there held it. */
  readonly beyond?: true;
  /** Where they are, if they are stored as they are, and in which node; for zeroes the place that is reserved for them. */
  readonly hostOffset?: number;
  readonly hostNode?: string;
}

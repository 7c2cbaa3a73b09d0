/** How an opened image works with its tables: what the caller has chosen, and what the image is. */
import type { CompressionSet, Compressor } from '../../compression.ts';
import type { BlockChild } from '../../driver.ts';
import type { BlockError } from '../../error.ts';
import type { DataFile } from './data-file.ts';
import type { ImageEncryption } from './encryption.ts';
import type { Structure } from './places.ts';

export interface MetadataSettings {
  readonly file: BlockChild;
  /** Where guest data is, if not in `file`. */
  readonly dataFile: DataFile | undefined;
  readonly readOnly: boolean;
  /** Bytes of an L2 slice, and how many are kept. */
  readonly sliceBytes: number;
  readonly l2Slices: number;
  /** The same for refcount blocks. */
  readonly refcountSliceBytes: number;
  readonly refcountSlices: number;
  readonly lazyRefcounts: boolean;
  /** What is looked out for before anything is written. */
  readonly overlapChecks: ReadonlySet<Structure>;
  /** Tell the file below of clusters freed by the guest's discards, and of others that become free. */
  readonly passDiscardRequest: boolean;
  readonly passDiscardOther: boolean;
  /** What the guest discards stays reserved for it. */
  readonly keepDiscarded: boolean;
  /** Of the image's compression type. */
  readonly compressor: Compressor;
  /** What other types need, should the image change its own. */
  readonly compression: CompressionSet;
  /** Autoclear features that are kept up to date while the image is written. */
  readonly keptUp: bigint;
  /** Why nothing may be written before a repair, if so. */
  readonly obstacle: BlockError | undefined;
  readonly encryption: ImageEncryption | undefined;
}

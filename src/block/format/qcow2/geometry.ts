/** How guest offsets, clusters, L2 tables and slices of them relate: powers of two that follow from header and options. */
import { clusterSizeOf, hasDataFile, l2EntryLengthOf, type Qcow2Header } from './header.ts';
import { EXTENDED_ENTRY_LENGTH, SUBCLUSTERS } from './layout.ts';

export interface Geometry {
  readonly version: 2 | 3;
  /** Guest clusters are in an external data file, each at its guest offset. */
  readonly externalData: boolean;
  /** Bytes. */
  readonly clusterSize: number;
  /** What an L2 entry describes one by one: 32 subclusters in a cluster, or the cluster as one. */
  readonly subclusters: number;
  /** Bytes; the cluster size where there are none. */
  readonly subclusterSize: number;
  /** Bytes of an L2 entry. */
  readonly entryLength: number;
  /** L2 entries in a slice, the piece of a table that is read and written at once. */
  readonly entriesPerSlice: number;
  readonly slicesPerTable: number;
  /** Guest bytes that a slice, and a whole L2 table, map. */
  readonly sliceSpan: number;
  readonly tableSpan: number;
}

/** @param sliceBytes bytes of an L2 slice, a power of two up to the cluster size */
export function geometryOf(header: Qcow2Header, sliceBytes: number): Geometry {
  const clusterSize = clusterSizeOf(header);
  const entryLength = l2EntryLengthOf(header);
  const subclusters = entryLength === EXTENDED_ENTRY_LENGTH ? SUBCLUSTERS : 1;
  const entriesPerSlice = sliceBytes / entryLength;
  return {
    version: header.version,
    externalData: hasDataFile(header),
    clusterSize,
    subclusters,
    subclusterSize: clusterSize / subclusters,
    entryLength,
    entriesPerSlice,
    slicesPerTable: clusterSize / sliceBytes,
    sliceSpan: entriesPerSlice * clusterSize,
    tableSpan: (clusterSize / entryLength) * clusterSize,
  };
}

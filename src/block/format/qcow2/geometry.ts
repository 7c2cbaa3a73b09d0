/** How guest offsets, clusters, L2 tables and slices of them relate: powers of two that follow from header and options. */
import { clusterSizeOf, type Qcow2Header } from './header.ts';
import { ENTRY_LENGTH } from './layout.ts';

export interface Geometry {
  readonly version: 2 | 3;
  /** Bytes. */
  readonly clusterSize: number;
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
  const entriesPerSlice = sliceBytes / ENTRY_LENGTH;
  return {
    version: header.version,
    clusterSize,
    entriesPerSlice,
    slicesPerTable: clusterSize / sliceBytes,
    sliceSpan: entriesPerSlice * clusterSize,
    tableSpan: (clusterSize / ENTRY_LENGTH) * clusterSize,
  };
}

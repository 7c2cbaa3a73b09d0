/** How many bytes a qcow2 image takes. Source: qcow2 specification, "General" and "Host cluster management". */
import { BlockError } from '../../error.ts';
import { headerAreaBytes } from '../../crypto/luks/create.ts';
import type { CreateOptions } from './create-options.ts';
import { checkCreateOptions } from './create-options.ts';

/** Counts in clusters of what an image that describes itself consists of. */
export interface RefcountSizes {
  readonly tableClusters: number;
  readonly blocks: number;
}

/**
 * How many refcount blocks and table clusters it takes to count `clusters` clusters and themselves.
 *
 * @param clusters clusters without the refcount structures
 */
export function refcountSizes(clusters: number, clusterSize: number, refcountBits: number): RefcountSizes {
  const countsPerBlock = (clusterSize * 8) / refcountBits;
  const entriesPerCluster = clusterSize / 8;
  let blocks = 0;
  let tableClusters = 0;
  for (;;) {
    const neededBlocks = Math.ceil((clusters + blocks + tableClusters) / countsPerBlock);
    const neededTableClusters = Math.ceil(neededBlocks / entriesPerCluster);
    if (neededBlocks === blocks && neededTableClusters === tableClusters) return { blocks, tableClusters };
    blocks = neededBlocks;
    tableClusters = neededTableClusters;
  }
}

/**
 * Bytes that a new image of these options takes, as `qemu-img measure` counts them: metadata always for a full disk.
 *
 * @param dataBytes guest data to be stored in it, in bytes, a whole number of clusters or up to the end of the disk
 * @throws BlockError `invalid` when no image can be made with the options
 */
export function measure(options: CreateOptions, dataBytes: number): { required: number; fullyAllocated: number } {
  const { clusterSize, encryption, entryLength, refcountBits, size } = checkCreateOptions(options);
  const dataClusters = Math.ceil(size / clusterSize);
  const l2Clusters = Math.ceil((dataClusters * entryLength) / clusterSize);
  const l1Clusters = Math.ceil((l2Clusters * 8) / clusterSize);
  const luksBytes = encryption?.luks === undefined ? 0 : headerAreaBytes(encryption.luks.cipher);
  const luksClusters = Math.ceil(luksBytes / clusterSize);
  const counted = 1 + l1Clusters + l2Clusters + dataClusters;
  const { blocks, tableClusters } = refcountSizes(counted, clusterSize, refcountBits);
  const fullyAllocated = (luksClusters + counted + blocks + tableClusters) * clusterSize;
  if (!Number.isSafeInteger(fullyAllocated)) {
    throw new BlockError('invalid', 'The image would need 2^53 bytes or more when it is full');
  }
  const reserved = options.preallocation === 'falloc' || options.preallocation === 'full';
  const required = fullyAllocated - dataClusters * clusterSize;
  const data = Math.min(Math.ceil(dataBytes / clusterSize), dataClusters) * clusterSize;
  return { required: reserved ? fullyAllocated : required + data, fullyAllocated };
}

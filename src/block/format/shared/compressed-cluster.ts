/** Compressed clusters, as qcow and qcow2 store them: a stream at some place in the file, which gives one whole cluster. */
import { settle, type Co } from '../../co.ts';
import type { Compressor } from '../../compression.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';

/** Where a compressed cluster is in the file. Bytes. */
export interface CompressedPlace {
  readonly hostOffset: number;
  readonly storedLength: number;
}

/**
 * Reads the bytes of a compressed cluster and decompresses them.
 *
 * @param guestOffset of the cluster, for messages
 * @param output as long as a cluster
 * @throws BlockError `corrupt` when the bytes are not there or are no cluster, and what the storage throws
 */
export function* decompressCluster(
  file: BlockChild,
  compressor: Compressor,
  place: CompressedPlace,
  guestOffset: number,
  output: Uint8Array,
): Co<void> {
  const { hostOffset, storedLength } = place;
  if (hostOffset >= file.length) {
    throw brokenCluster(
      place,
      guestOffset,
      `the file has only ${file.length} bytes: it was cut off, or is not all there`,
    );
  }
  const data = new Uint8Array(storedLength);
  yield* settle(file.read(hostOffset, data));
  try {
    if (compressor.threads === undefined || file.synchronous) compressor.decompress(data, output);
    else yield compressor.threads.decompress(data, output);
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    throw brokenCluster(place, guestOffset, error.message, error);
  }
}

function brokenCluster(
  { hostOffset, storedLength }: CompressedPlace,
  guestOffset: number,
  why: string,
  cause?: unknown,
): BlockError {
  return new BlockError(
    'corrupt',
    `The guest cluster at offset ${guestOffset} is compressed, ${storedLength} bytes at ${hostOffset} in the file, and cannot ` +
      `be read: ${why}`,
    { offset: guestOffset },
    cause === undefined ? {} : { cause },
  );
}

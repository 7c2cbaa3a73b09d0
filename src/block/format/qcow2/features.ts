/**
 * Which features of the format are supported, and refusing the others by their names.
 *
 * Source: qcow2 specification, "Header" (feature bits).
 */
import { BlockError } from '../../error.ts';
import { featureName } from './extensions.ts';
import { compressionTypeOf, type Qcow2Header } from './header.ts';
import {
  COMPRESSION_ZLIB,
  COMPRESSION_ZSTD,
  CRYPT_LUKS,
  INCOMPATIBLE_COMPRESSION,
  INCOMPATIBLE_CORRUPT,
  INCOMPATIBLE_DATA_FILE,
  INCOMPATIBLE_DIRTY,
  INCOMPATIBLE_EXTENDED_L2,
  MAX_SNAPSHOTS,
} from './layout.ts';

/** Incompatible features that this implementation handles, or looks at to refuse them by a better name. */
const KNOWN_INCOMPATIBLE =
  INCOMPATIBLE_DIRTY |
  INCOMPATIBLE_CORRUPT |
  INCOMPATIBLE_DATA_FILE |
  INCOMPATIBLE_COMPRESSION |
  INCOMPATIBLE_EXTENDED_L2;

/**
 * Refuses an image that uses what is not supported.
 *
 * @throws BlockError `unsupported`, naming the feature; `corrupt` when the compression type contradicts its feature bit
 */
export function checkFeatures(header: Qcow2Header): void {
  const unknown = header.incompatibleFeatures & ~KNOWN_INCOMPATIBLE;
  if (unknown !== 0n) {
    const names = bitsOf(unknown).map((bit) => featureName(header.extensions, 'incompatible', bit));
    throw new BlockError('unsupported', `The image uses features that are not known here: ${names.join(', ')}`);
  }
  if (header.cryptMethod > CRYPT_LUKS) throw unsupported(`encryption method ${header.cryptMethod}`);
  checkCompressionType(header);
}

function checkCompressionType(header: Qcow2Header): void {
  const type = compressionTypeOf(header);
  const flagged = (header.incompatibleFeatures & INCOMPATIBLE_COMPRESSION) !== 0n;
  if (flagged !== (type !== COMPRESSION_ZLIB)) {
    throw new BlockError(
      'corrupt',
      `Header field 'compression_type' is ${type}, and the incompatible feature bit for it is ${flagged ? '' : 'not '}set`,
    );
  }
  if (type > COMPRESSION_ZSTD) throw unsupported(`compression type ${type}`);
}

/**
 * Refuses an image with more snapshots than there can be, which only a repair may open.
 *
 * @throws BlockError `corrupt`
 */
export function checkSnapshotCount({ nbSnapshots }: Qcow2Header): void {
  if (nbSnapshots <= MAX_SNAPSHOTS) return;
  throw new BlockError(
    'corrupt',
    `Header field 'nb_snapshots' is ${nbSnapshots}, and must be at most ${MAX_SNAPSHOTS}: a check with repair drops those over it`,
  );
}

/**
 * Says why an image may not be opened for writing, whatever its file allows, but to repair it.
 *
 * @returns the error to throw, or undefined
 */
export function openObstacle(header: Qcow2Header): BlockError | undefined {
  if ((header.incompatibleFeatures & INCOMPATIBLE_CORRUPT) !== 0n) {
    return new BlockError(
      'corrupt',
      'The image is marked corrupt and cannot be opened for writing: repair it with a check, or open it read-only',
    );
  }
  return undefined;
}

/**
 * The same for an image that was opened to be repaired: what else stands in the way of writing guest data.
 *
 * @param keptUp autoclear features that are kept up to date while it is written
 */
export function writeObstacle(header: Qcow2Header, keptUp: bigint): BlockError | undefined {
  const obstacle = openObstacle(header);
  if (obstacle !== undefined) return obstacle;
  const isDirty = (header.incompatibleFeatures & INCOMPATIBLE_DIRTY) !== 0n;
  if (!isDirty && (header.autoclearFeatures & ~keptUp) === 0n) return undefined;
  return new BlockError(
    'permission',
    'The image was opened to be checked, and before it is written it must be prepared for that: open it again without `check`',
  );
}

function unsupported(feature: string): BlockError {
  return new BlockError('unsupported', `The image uses ${feature}, which is not supported`);
}

/** The numbers of the bits that are set in a 64-bit mask. */
function bitsOf(mask: bigint): number[] {
  const bits: number[] = [];
  for (let bit = 0; bit < 64; bit++) if ((mask & (1n << BigInt(bit))) !== 0n) bits.push(bit);
  return bits;
}

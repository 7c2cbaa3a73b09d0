/** What `info` shows of an image, with QEMU's key names. Source: QEMU, ImageInfoSpecificQCow2. */
import type { FormatInfo } from '../../driver.ts';
import {
  backingFileOf,
  backingFormatOf,
  clusterSizeOf,
  compressionTypeOf,
  dataFileOf,
  hasDataFile,
  type Qcow2Header,
} from './header.ts';
import {
  AUTOCLEAR_RAW_DATA_FILE,
  COMPATIBLE_LAZY_REFCOUNTS,
  COMPRESSION_ZSTD,
  INCOMPATIBLE_CORRUPT,
  INCOMPATIBLE_DIRTY,
  INCOMPATIBLE_EXTENDED_L2,
} from './layout.ts';

interface FurtherFacts {
  readonly encryption: Readonly<Record<string, unknown>> | undefined;
  readonly bitmaps: readonly Readonly<Record<string, unknown>>[];
}

/** @param facts what else there is to tell, with QEMU's key names: Qcow2BitmapInfo, ImageInfoSpecificQCow2Encryption */
export function formatInfo(
  header: Qcow2Header,
  virtualSize: number,
  { encryption, bitmaps }: FurtherFacts,
): FormatInfo {
  const backingFilename = backingFileOf(header);
  const backingFormat = backingFormatOf(header);
  return {
    format: 'qcow2',
    virtualSize,
    clusterSize: clusterSizeOf(header),
    ...(backingFilename === undefined ? {} : { backingFilename }),
    ...(backingFilename === undefined || backingFormat === undefined ? {} : { backingFormat }),
    dirty: (header.incompatibleFeatures & INCOMPATIBLE_DIRTY) !== 0n,
    corrupt: (header.incompatibleFeatures & INCOMPATIBLE_CORRUPT) !== 0n,
    encrypted: encryption !== undefined,
    specific: {
      ...specificInfo(header),
      ...(encryption === undefined ? {} : { encrypt: encryption }),
      ...(bitmaps.length === 0 ? {} : { bitmaps }),
    },
  };
}

function specificInfo(header: Qcow2Header): Record<string, unknown> {
  const common = {
    'compression-type': compressionTypeOf(header) === COMPRESSION_ZSTD ? 'zstd' : 'zlib',
    'refcount-bits': 2 ** header.refcountOrder,
  };
  if (header.version === 2) return { compat: '0.10', ...common };
  return {
    compat: '1.1',
    ...common,
    'lazy-refcounts': (header.compatibleFeatures & COMPATIBLE_LAZY_REFCOUNTS) !== 0n,
    corrupt: (header.incompatibleFeatures & INCOMPATIBLE_CORRUPT) !== 0n,
    ...(hasDataFile(header) && dataFileInfo(header)),
    'extended-l2': (header.incompatibleFeatures & INCOMPATIBLE_EXTENDED_L2) !== 0n,
  };
}

/** Where the header names no file, QEMU says nothing of it. */
function dataFileInfo(header: Qcow2Header): Record<string, unknown> {
  const name = dataFileOf(header);
  const raw = { 'data-file-raw': (header.autoclearFeatures & AUTOCLEAR_RAW_DATA_FILE) !== 0n };
  return name === undefined ? raw : { 'data-file': name, ...raw };
}

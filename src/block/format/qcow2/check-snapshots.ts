/** The table of internal snapshots, as far as a check needs it. Source: qcow2 specification, "Snapshots". */
import { settle, type Co } from '../../co.ts';
import type { CheckedImage } from './check-image.ts';
import { MAX_L1_BYTES, MAX_SNAPSHOTS } from './layout.ts';

export interface SnapshotL1 {
  /** Id and name, for messages. */
  readonly name: string;
  readonly l1Offset: number;
  readonly l1Entries: number;
}

/** Bytes of an entry before its extra data, id and name. */
const FIXED_LENGTH = 40;
const MAX_EXTRA_BYTES = 1024;

/** Counts the snapshot table's own clusters, and returns the L1 tables that a walk must look at. */
export function* readSnapshotTables(image: CheckedImage): Co<SnapshotL1[]> {
  const { snapshotsOffset, snapshotCount } = image.tables;
  if (snapshotCount === 0) return [];
  if (snapshotCount > MAX_SNAPSHOTS) {
    image.findings.corruption(`ERROR the snapshot table has ${snapshotCount} entries, more than ${MAX_SNAPSHOTS}`);
    return [];
  }
  const found: SnapshotL1[] = [];
  let offset = snapshotsOffset;
  for (let index = 0; index < snapshotCount; index++) {
    offset = Math.ceil(offset / 8) * 8;
    const entry = yield* readEntry(image, offset);
    if (entry === undefined) {
      image.findings.corruption(`ERROR snapshot table entry ${index} is broken`, offset);
      break;
    }
    if (isUsable(image, entry.l1)) found.push(entry.l1);
    offset += entry.length;
  }
  image.refer(snapshotsOffset, offset - snapshotsOffset);
  return found;
}

function isUsable(image: CheckedImage, { name, l1Offset, l1Entries }: SnapshotL1): boolean {
  if (l1Offset % image.clusterSize !== 0) {
    image.findings.corruption(
      `ERROR snapshot ${name} l1_offset=0x${l1Offset.toString(16)}: L1 table is not cluster aligned; ` +
        'snapshot table entry corrupted',
      l1Offset,
    );
    return false;
  }
  if (l1Entries > MAX_L1_BYTES / 8) {
    image.findings.corruption(
      `ERROR snapshot ${name} l1_size=0x${l1Entries.toString(16)}: L1 table is too large; snapshot table entry corrupted`,
      l1Offset,
    );
    return false;
  }
  return true;
}

/** @returns undefined when the entry is not wholly inside the file or a length in it is out of bounds */
function* readEntry(image: CheckedImage, offset: number): Co<{ l1: SnapshotL1; length: number } | undefined> {
  if (offset + FIXED_LENGTH > image.fileLength) return undefined;
  const fixed = new Uint8Array(FIXED_LENGTH);
  yield* settle(image.file.read(offset, fixed));
  const view = new DataView(fixed.buffer);
  const idLength = view.getUint16(12);
  const nameLength = view.getUint16(14);
  const extraLength = view.getUint32(36);
  const length = FIXED_LENGTH + extraLength + idLength + nameLength;
  if (extraLength > MAX_EXTRA_BYTES || offset + length > image.fileLength) return undefined;
  const text = new Uint8Array(idLength + nameLength);
  if (text.length > 0) yield* settle(image.file.read(offset + FIXED_LENGTH + extraLength, text));
  const decoder = new TextDecoder();
  const name = `${decoder.decode(text.subarray(0, idLength))} (${decoder.decode(text.subarray(idLength))})`;
  const l1Offset = view.getUint32(0) * 2 ** 32 + view.getUint32(4);
  return { l1: { name, l1Offset, l1Entries: view.getUint32(8) }, length };
}

/**
 * The table of internal snapshots: read whole when the image is opened, and written anew, to another place, at every change.
 *
 * Source: qcow2 specification, "Snapshots".
 */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import type { Qcow2Header } from './header.ts';
import { MAX_SNAPSHOTS } from './layout.ts';
import {
  decodeSnapshotEntry,
  encodeSnapshotEntry,
  MAX_SNAPSHOT_EXTRA_BYTES,
  SNAPSHOT_ALIGNMENT,
  SNAPSHOT_FIXED_LENGTH,
  snapshotEntryLength,
  snapshotExtraLength,
  type SnapshotEntry,
} from './snapshot-entry.ts';

/** Bytes of the whole table. QEMU: QCOW_MAX_SNAPSHOTS_SIZE. */
export const MAX_SNAPSHOT_TABLE_BYTES = 1024 * MAX_SNAPSHOTS;
/** The table is read in pieces; the longest entry fits into two. */
const READ_BYTES = 128 * 1024;

export interface SnapshotTableBytes {
  readonly entries: readonly SnapshotEntry[];
  /** Bytes that the table takes in the file. */
  readonly length: number;
}

/**
 * Reads the table that a header leads to.
 *
 * @throws BlockError `corrupt` when the table is too large, an entry contradicts the specification or the file ends before it
 */
export function* readSnapshotTable(file: BlockChild, header: Qcow2Header): Co<SnapshotTableBytes> {
  const { nbSnapshots, snapshotsOffset, size } = header;
  const entries: SnapshotEntry[] = [];
  const reader = new TableReader(file, snapshotsOffset);
  let offset = 0;
  for (let index = 0; index < nbSnapshots; index++) {
    offset = Math.ceil(offset / SNAPSHOT_ALIGNMENT) * SNAPSHOT_ALIGNMENT;
    const fixed = yield* reader.bytes(offset, SNAPSHOT_FIXED_LENGTH, index);
    const view = new DataView(fixed.buffer, fixed.byteOffset, fixed.byteLength);
    if (snapshotExtraLength(view) > MAX_SNAPSHOT_EXTRA_BYTES) {
      throw new BlockError(
        'corrupt',
        `Entry ${index} of the snapshot table has ${snapshotExtraLength(view)} bytes of extra data; the limit is ` +
          `${MAX_SNAPSHOT_EXTRA_BYTES}: check the image`,
      );
    }
    const length = snapshotEntryLength(view);
    entries.push(decodeSnapshotEntry(yield* reader.bytes(offset, length, index), size));
    offset += length;
    if (offset > MAX_SNAPSHOT_TABLE_BYTES) throw tooLarge(offset, 'corrupt');
  }
  return { entries, length: offset };
}

/** @throws BlockError `unsupported` when they are too many or take too much room */
export function encodeSnapshotTable(entries: readonly SnapshotEntry[]): Uint8Array<ArrayBuffer> {
  if (entries.length > MAX_SNAPSHOTS) {
    throw new BlockError('unsupported', `An image holds at most ${MAX_SNAPSHOTS} snapshots: delete one first`);
  }
  const encoded = entries.map(encodeSnapshotEntry);
  const padded = (length: number): number => Math.ceil(length / SNAPSHOT_ALIGNMENT) * SNAPSHOT_ALIGNMENT;
  const length = encoded.reduce((sum, entry) => padded(sum) + entry.length, 0);
  if (length > MAX_SNAPSHOT_TABLE_BYTES) throw tooLarge(length, 'unsupported');
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const entry of encoded) {
    offset = padded(offset);
    bytes.set(entry, offset);
    offset += entry.length;
  }
  return bytes;
}

function tooLarge(length: number, kind: 'corrupt' | 'unsupported'): BlockError {
  return new BlockError(
    kind,
    `The snapshot table takes ${length} bytes or more; the limit is ${MAX_SNAPSHOT_TABLE_BYTES}`,
  );
}

/** Reads a table of unknown length front to back. */
class TableReader {
  readonly #file: BlockChild;
  readonly #tableOffset: number;
  #piece = new Uint8Array(0);
  /** Where the piece begins, in the table. */
  #pieceOffset = 0;

  constructor(file: BlockChild, tableOffset: number) {
    this.#file = file;
    this.#tableOffset = tableOffset;
  }

  /** @param index of the entry, for messages */
  *bytes(offset: number, length: number, index: number): Co<Uint8Array> {
    const at = offset - this.#pieceOffset;
    if (at >= 0 && at + length <= this.#piece.length) return this.#piece.subarray(at, at + length);
    const left = this.#file.length - this.#tableOffset - offset;
    if (length > left) {
      throw new BlockError(
        'corrupt',
        `Entry ${index} of the snapshot table goes on past the end of the file: it was cut off, or the table is damaged`,
      );
    }
    this.#piece = new Uint8Array(Math.min(left, Math.max(length, READ_BYTES)));
    this.#pieceOffset = offset;
    yield* settle(this.#file.read(this.#tableOffset + offset, this.#piece));
    return this.#piece.subarray(0, length);
  }
}

/**
 * The table of internal snapshots, as far as a check needs it: who refers to what, and which entries can be mended.
 *
 * Source: qcow2 specification, "Snapshots".
 */
import { settle, type Co } from '../../co.ts';
import { CheckFindings } from '../shared/check-findings.ts';
import type { CheckedImage } from './check-image.ts';
import { MAX_L1_BYTES, MAX_SNAPSHOTS } from './layout.ts';
import { MAX_SNAPSHOT_TABLE_BYTES } from './snapshot-table.ts';
import { MAX_SNAPSHOT_EXTRA_BYTES, SNAPSHOT_FIXED_LENGTH } from './snapshot-entry.ts';

export interface SnapshotL1 {
  /** Id and name, for messages. */
  readonly name: string;
  readonly l1Offset: number;
  readonly l1Entries: number;
}

/** An entry as it stands in the file. */
interface Entry {
  /** Where it begins, in bytes. */
  readonly offset: number;
  readonly extraLength: number;
  /** Bytes of id and name together. */
  readonly textLength: number;
}

export interface SnapshotScan {
  readonly l1Tables: readonly SnapshotL1[];
  /** Bytes from the beginning of the table to the end of its last entry. */
  readonly length: number;
  /** The same without entries whose own length is out of bounds: what lies behind them may be anything. */
  readonly soundLength: number;
  /** What a new table is made of, when this one must be written anew; undefined: it is right, or may not be mended. */
  readonly kept: readonly Entry[] | undefined;
  /** What that mends, said as if it was done. */
  readonly repairs: CheckFindings;
}

/** In version 3 an entry says at least how long its machine state is, and how large its disk. */
const MIN_EXTRA_BYTES_V3 = 16;

/**
 * Counts the snapshot table's own clusters and looks at each entry.
 *
 * @returns undefined when the table cannot be told apart from what follows it: nothing that counts references may go on then. A
 *   check that repairs all can always go on
 */
export function* scanSnapshots(image: CheckedImage): Co<SnapshotScan | undefined> {
  if (image.tables.snapshotCount === 0)
    return { l1Tables: [], length: 0, soundLength: 0, kept: undefined, repairs: new CheckFindings('all') };
  const scanner = new Scanner(image);
  if (!(yield* scanner.scan())) return undefined;
  // One that is written anew is not counted: nothing may lie there until that is done.
  if (scanner.kept === undefined) image.refer(image.tables.snapshotsOffset, scanner.length);
  else image.keepClear(image.tables.snapshotsOffset, scanner.soundLength);
  return scanner;
}

class Scanner implements SnapshotScan {
  readonly l1Tables: SnapshotL1[] = [];
  length = 0;
  soundLength = 0;
  readonly repairs = new CheckFindings('all');
  readonly #image: CheckedImage;
  readonly #repairs: boolean;
  readonly #entries: Entry[] = [];
  #broken = false;
  /** A repair has seen an entry of nothing but zeroes: the table ends there, whatever the header says, and garbage follows. */
  #ended = false;

  constructor(image: CheckedImage) {
    this.#image = image;
    this.#repairs = image.findings.fix === 'all';
  }

  get kept(): readonly Entry[] | undefined {
    return this.#broken && this.#repairs ? this.#entries : undefined;
  }

  *scan(): Co<boolean> {
    const { snapshotsOffset, snapshotCount } = this.#image.tables;
    const count = Math.min(snapshotCount, MAX_SNAPSHOTS);
    if (count < snapshotCount) {
      if (!this.#repairs) return this.#refuse('ERROR snapshot table too large');
      this.#fix(`Discarding ${snapshotCount - count} overhanging snapshots`, snapshotCount - count);
    }
    for (let index = 0; index < count; index++) {
      const offset = snapshotsOffset + Math.ceil(this.length / 8) * 8;
      if (offset >= this.#image.fileLength || this.#ended) {
        for (let missing = index; missing < count; missing++) this.#noteIncomplete(missing);
        break;
      }
      const before = { entries: this.#entries.length, l1Tables: this.l1Tables.length };
      if (!(yield* this.#readEntry(index, offset))) return false;
      if (this.length > MAX_SNAPSHOT_TABLE_BYTES) {
        if (!this.#repairs) return this.#refuse('ERROR failed to read the snapshot table: Snapshot table is too big');
        const rest = count - index;
        this.#fix(`Discarding ${rest} overhanging snapshots (snapshot table is too big)`, rest);
        this.#entries.length = before.entries;
        this.l1Tables.length = before.l1Tables;
        break;
      }
      yield* this.#image.pause(this.#image.clusterOf(offset));
    }
    return true;
  }

  /** @returns false when the table cannot be read on */
  *#readEntry(index: number, offset: number): Co<boolean> {
    const { file, tables } = this.#image;
    const fixed = new Uint8Array(SNAPSHOT_FIXED_LENGTH);
    yield* settle(file.read(offset, fixed));
    const view = new DataView(fixed.buffer);
    const idLength = view.getUint16(12);
    const textLength = idLength + view.getUint16(14);
    const extraLength = view.getUint32(36);
    if (extraLength > MAX_SNAPSHOT_EXTRA_BYTES) {
      const where = `snapshot table entry ${index}`;
      if (!this.#repairs)
        return this.#refuse(`ERROR failed to read the snapshot table: Too much extra metadata in ${where}`);
      this.#fix(`Discarding too much extra metadata in ${where} (${extraLength} > ${MAX_SNAPSHOT_EXTRA_BYTES})`, 1);
    }
    if (tables.version === 3 && extraLength < MIN_EXTRA_BYTES_V3) this.#noteIncomplete(index);
    const text = new Uint8Array(textLength);
    const textOffset = offset + SNAPSHOT_FIXED_LENGTH + extraLength;
    if (textLength > 0) yield* settle(file.read(textOffset, text));
    this.length = textOffset + textLength - tables.snapshotsOffset;
    const fixedEnd = offset + SNAPSHOT_FIXED_LENGTH - tables.snapshotsOffset;
    this.soundLength = Math.max(this.soundLength, extraLength > MAX_SNAPSHOT_EXTRA_BYTES ? fixedEnd : this.length);
    const l1Offset = view.getUint32(0) * 2 ** 32 + view.getUint32(4);
    const l1Entries = view.getUint32(8);
    const isEmpty = textLength === 0 && l1Offset === 0 && l1Entries === 0;
    if (!isEmpty) this.#entries.push({ offset, extraLength, textLength });
    else if (this.#repairs) this.#ended = true;
    this.#noteL1({ name: nameOf(text, idLength), l1Offset, l1Entries });
    return true;
  }

  #noteIncomplete(index: number): void {
    const what = `snapshot table entry ${index} is incomplete`;
    if (this.#repairs) this.#fix(`Repairing ${what}`, 1);
    else this.#image.findings.corruption(`ERROR ${what}`);
  }

  #fix(message: string, times: number): void {
    this.#broken = true;
    this.repairs.fixed('corruption', message, this.#image.tables.snapshotsOffset, times);
  }

  #refuse(message: string): false {
    this.#image.findings.error(message, this.#image.tables.snapshotsOffset);
    return false;
  }

  #noteL1(l1: SnapshotL1): void {
    const { findings, clusterSize } = this.#image;
    const { name, l1Offset, l1Entries } = l1;
    const bad = (field: string, what: string): void =>
      findings.corruption(
        `ERROR snapshot ${name} ${field}: L1 table is ${what}; snapshot table entry corrupted`,
        l1Offset,
      );
    const where = `l1_offset=0x${l1Offset.toString(16)}`;
    if (l1Offset % clusterSize !== 0) bad(where, 'not cluster aligned');
    // QEMU reads the header as such a table. Each repair changes the header, and would find other references there.
    else if (l1Offset < clusterSize && l1Entries > 0) bad(where, 'in the header');
    else if (l1Entries > MAX_L1_BYTES / 8) bad(`l1_size=0x${l1Entries.toString(16)}`, 'too large');
    else this.l1Tables.push(l1);
  }
}

function nameOf(text: Uint8Array, idLength: number): string {
  const decoder = new TextDecoder();
  return `${decoder.decode(text.subarray(0, idLength))} (${decoder.decode(text.subarray(idLength))})`;
}

/** The bytes of a table of the entries that are kept, each of them whole. */
export function* encodeKept({ file, tables }: CheckedImage, entries: readonly Entry[]): Co<Uint8Array> {
  const lengths = entries.map(({ extraLength, textLength }) => {
    return SNAPSHOT_FIXED_LENGTH + keptExtra(extraLength, tables.version) + textLength;
  });
  const table = new Uint8Array(lengths.reduce((sum, length) => sum + Math.ceil(length / 8) * 8, 0));
  const view = new DataView(table.buffer);
  let at = 0;
  for (const [index, { offset, extraLength, textLength }] of entries.entries()) {
    const extra = keptExtra(extraLength, tables.version);
    const head = Math.min(extraLength, extra);
    yield* settle(file.read(offset, table.subarray(at, at + SNAPSHOT_FIXED_LENGTH + head)));
    if (extraLength < extra) {
      const state = at + SNAPSHOT_FIXED_LENGTH;
      if (extraLength < 8) setUint64(view, state, view.getUint32(at + 32));
      setUint64(view, state + 8, tables.virtualSize);
    }
    view.setUint32(at + 36, extra);
    const text = at + SNAPSHOT_FIXED_LENGTH + extra;
    yield* settle(file.read(offset + SNAPSHOT_FIXED_LENGTH + extraLength, table.subarray(text, text + textLength)));
    at += Math.ceil(lengths[index]! / 8) * 8;
  }
  return table;
}

/** Bytes of extra data that an entry gets: what is unknown stays if it is not too much. */
function keptExtra(extraLength: number, version: 2 | 3): number {
  return Math.max(Math.min(extraLength, MAX_SNAPSHOT_EXTRA_BYTES), version === 3 ? MIN_EXTRA_BYTES_V3 : 0);
}

function setUint64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 2 ** 32));
  view.setUint32(at + 4, value % 2 ** 32);
}

/**
 * Checking a VHDX image: each block that has data must be wholly in the file, and no two may be at one place. Nothing of that can be
 * repaired. A log that was replayed when the image was opened counts as a corruption that is mended, as QEMU counts it.
 */
import { settle, type Co } from '../../co.ts';
import type { CheckFix, CheckResult, Progress } from '../../driver.ts';
import { TimeSlice } from '../../time-slice.ts';
import { CheckFindings } from '../shared/check-findings.ts';
import { decodeEntry, ENTRIES_PER_SLICE, isWithoutData, type BlockAllocationTable } from './bat.ts';
import type { LogState } from './image.ts';
import { BAT_ENTRY_LENGTH, BAT_SLICE, MIB } from './layout.ts';
import { batEntries, chunkRatio } from './metadata.ts';

const READ_BYTES = 16 * BAT_SLICE;

/** Nothing may wait to be written. */
export function* checkBlocks(
  bat: BlockAllocationTable,
  logState: LogState,
  fix: CheckFix,
  progress: Progress | undefined,
): Co<CheckResult> {
  const findings = new CheckFindings(fix);
  if (logState === 'replayed') findings.fixed('corruption', 'The log had to be replayed');
  const walk = new BatWalk(bat, findings);
  // Before the replay the table is not what it shall be.
  if (logState === 'pending') findings.corruption('The log must be replayed');
  else yield* walk.run(progress);
  return findings.result({
    imageEndOffset: walk.end,
    totalClusters: bat.blocks,
    allocatedClusters: walk.allocated,
  });
}

class BatWalk {
  allocated = 0;
  /** Where the last thing in the file ends. */
  end: number;
  readonly #bat: BlockAllocationTable;
  readonly #findings: CheckFindings;
  /** One bit for each MiB of the file. */
  readonly #used: Uint8Array;

  constructor(bat: BlockAllocationTable, findings: CheckFindings) {
    this.#bat = bat;
    this.#findings = findings;
    this.end = bat.region.offset + bat.region.length;
    this.#used = new Uint8Array(Math.ceil(bat.file.length / MIB / 8));
  }

  *run(progress: Progress | undefined): Co<void> {
    const { file, metadata, region } = this.#bat;
    const entries = batEntries(metadata);
    const perRead = (READ_BYTES / BAT_SLICE) * ENTRIES_PER_SLICE;
    const slice = new TimeSlice();
    for (let first = 0; first < entries; first += perRead) {
      const bytes = new Uint8Array(Math.min(perRead, entries - first) * BAT_ENTRY_LENGTH);
      yield* settle(file.read(region.offset + first * BAT_ENTRY_LENGTH, bytes));
      this.#look(first, new DataView(bytes.buffer));
      progress?.report(Math.min(first + perRead, entries), entries);
      yield* slice.pause();
    }
  }

  #look(first: number, view: DataView): void {
    const stride = chunkRatio(this.#bat.metadata) + 1;
    for (let at = 0; at < view.byteLength; at += BAT_ENTRY_LENGTH) {
      const index = first + at / BAT_ENTRY_LENGTH;
      // The last entry of each stride is a sector bitmap's, which only differencing disks have.
      if (index % stride === stride - 1) continue;
      const entry = decodeEntry(view, at);
      if (isWithoutData(entry.state)) continue;
      const fault = this.#bat.faultOf(index - Math.floor(index / stride), entry);
      if (fault === undefined) this.#use(index, entry.offset);
      else this.#findings.corruption(fault, entry.offset);
    }
  }

  #use(index: number, offset: number): void {
    const { blockSize } = this.#bat.metadata;
    this.allocated++;
    this.end = Math.max(this.end, offset + blockSize);
    let twice = false;
    for (let unit = offset / MIB; unit < (offset + blockSize) / MIB; unit++) {
      const byte = Math.floor(unit / 8);
      if (byte >= this.#used.length) break;
      const bit = 1 << (unit % 8);
      twice ||= (this.#used[byte]! & bit) !== 0;
      this.#used[byte]! |= bit;
    }
    if (twice) this.#findings.corruption(`VHDX BAT entry ${index} offset ${offset} is another block's too`, offset);
  }
}

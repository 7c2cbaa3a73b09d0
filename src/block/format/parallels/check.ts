/**
 * Checking a Parallels image, in the words of QEMU 7.2 and with its counts; beyond that, entries that lead into the table, right behind
 * the end of the file or to a cluster that an earlier entry has are found too, and the last ones get a copy of their own.
 */
import { settle, type Co } from '../../co.ts';
import type { BlockChild, CheckFix, CheckResult, Progress } from '../../driver.ts';
import { TimeSlice } from '../../time-slice.ts';
import { CheckFindings } from '../shared/check-findings.ts';
import type { NumberTable } from '../shared/table-bytes.ts';
import type { ParallelsHeader } from './header.ts';
import { roundUp } from '../../../binary/round-up.ts';

/** Bytes that are copied at once. */
const COPY_BYTES = 2 ** 20;
/** Entries that are looked at between two pauses. */
const ENTRIES_AT_ONCE = 65_536;

export interface CheckedImage {
  readonly file: BlockChild;
  readonly header: ParallelsHeader;
  readonly bat: NumberTable;
  /** It says that it was not closed. */
  readonly unclean: boolean;
  /** Where what the extension has ends, in bytes. */
  readonly extensionEnd: number;
}

/**
 * @returns the result, and how long the file should be: entries that were repaired must be on stable storage before it is cut off
 * @throws what the storage throws
 */
export function* checkClusters(
  image: CheckedImage,
  fix: CheckFix,
  progress?: Progress,
): Co<{ result: CheckResult; length: number | undefined }> {
  const walk = new BatWalk(image, fix);
  if (image.unclean) walk.wrong('image was not closed correctly');
  yield* walk.run(progress);
  return { length: walk.countLeaks(), result: walk.result() };
}

class BatWalk {
  readonly #image: CheckedImage;
  readonly #findings: CheckFindings;
  /** One bit a cluster of the file, counted from where data begins. */
  readonly #used: Uint8Array;
  #allocated = 0;
  #fragmented = 0;
  #highest = 0;
  /** As it was: copies make the file longer, and what led behind its end is wrong all the same. */
  readonly #fileLength: number;
  /** Where a copy of a cluster can go. */
  #next: number;

  constructor(image: CheckedImage, fix: CheckFix) {
    const { file, header } = image;
    this.#image = image;
    this.#findings = new CheckFindings(fix);
    this.#used = new Uint8Array(Math.ceil(file.length / header.clusterSize / 8) + 1);
    this.#fileLength = file.length;
    this.#next = header.dataStart + roundUp(Math.max(0, file.length - header.dataStart), header.clusterSize);
  }

  get #mends(): boolean {
    return this.#findings.fix === 'all';
  }

  wrong(what: string, hostOffset?: number): void {
    if (this.#mends) this.#findings.fixed('corruption', `Repairing ${what}`, hostOffset);
    else this.#findings.corruption(() => `ERROR ${what}`, hostOffset);
  }

  *run(progress?: Progress): Co<void> {
    const { bat, header } = this.#image;
    const slice = new TimeSlice();
    let previous = 0;
    for (let index = 0; index < header.batEntries; index++) {
      if (bat.get(index) === 0) previous = 0;
      else previous = yield* this.#lookAt(index, bat.get(index) * header.entryUnit, previous);
      if ((index + 1) % ENTRIES_AT_ONCE !== 0) continue;
      progress?.report(index + 1, header.batEntries);
      yield* slice.pause();
    }
    progress?.report(header.batEntries, header.batEntries);
  }

  /** @param previous where the cluster before is, or 0. @returns where this one is now */
  *#lookAt(index: number, offset: number, previous: number): Co<number> {
    const { header, bat } = this.#image;
    if (offset >= this.#fileLength || offset < header.dataStart) {
      this.wrong(`cluster ${index} is outside image`, offset);
      if (this.#mends) {
        bat.set(index, 0);
        return 0;
      }
    }
    let place = offset;
    if (this.#isUsed(offset)) {
      this.wrong(`cluster ${index} is at ${offset}, where another cluster is`, offset);
      if (this.#mends) place = yield* this.#copy(index, offset);
    }
    this.#allocated++;
    this.#highest = Math.max(this.#highest, place);
    if (previous !== 0 && previous + header.clusterSize !== place) this.#fragmented++;
    return place;
  }

  /** Notes a place. @returns whether it was noted before */
  #isUsed(offset: number): boolean {
    const { header } = this.#image;
    if (offset < header.dataStart || offset >= this.#fileLength) return false;
    const cluster = Math.floor((offset - header.dataStart) / header.clusterSize);
    const byte = Math.floor(cluster / 8);
    const bit = 1 << (cluster % 8);
    const used = (this.#used[byte]! & bit) !== 0;
    this.#used[byte]! |= bit;
    return used;
  }

  *#copy(index: number, from: number): Co<number> {
    const { file, header, bat } = this.#image;
    const to = this.#next;
    this.#next += header.clusterSize;
    const buffer = new Uint8Array(Math.min(COPY_BYTES, header.clusterSize));
    for (let done = 0; done < header.clusterSize; done += buffer.length) {
      const piece = buffer.subarray(0, Math.min(buffer.length, header.clusterSize - done));
      yield* settle(file.read(from + done, piece));
      yield* settle(file.write(to + done, piece));
    }
    bat.set(index, to / header.entryUnit);
    return to;
  }

  get #imageEnd(): number {
    const { header, extensionEnd } = this.#image;
    const end = this.#highest === 0 ? header.dataStart : this.#highest + header.clusterSize;
    return Math.max(end, extensionEnd);
  }

  /** @returns where the file is to be cut off, or undefined */
  countLeaks(): number | undefined {
    const { file, header } = this.#image;
    const leaked = file.length - this.#imageEnd;
    if (leaked <= 0) return undefined;
    const clusters = Math.ceil(leaked / header.clusterSize);
    const message = `space leaked at the end of the image ${leaked}`;
    if (this.#findings.fix === 'none') {
      this.#findings.leak(`ERROR ${message}`, this.#imageEnd, clusters);
      return undefined;
    }
    this.#findings.fixed('leak', `Repairing ${message}`, this.#imageEnd, clusters);
    return this.#imageEnd;
  }

  result(): CheckResult {
    return this.#findings.result({
      imageEndOffset: this.#imageEnd,
      totalClusters: this.#image.header.batEntries,
      allocatedClusters: this.#allocated,
      fragmentedClusters: this.#fragmented,
    });
  }
}

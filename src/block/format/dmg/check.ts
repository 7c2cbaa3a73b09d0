/**
 * Comparing the checksums of an image: that of the data fork as it is in the file, and those of what the chunks of each table become.
 * QEMU does not check dmg images; Apple's tools do, before they open one.
 */
import { crc32, crc32OfZeroes } from '../../../codec/crc32.ts';
import { settle, type Co } from '../../co.ts';
import type { BlockChild, CheckResult, Progress } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { ZERO_BUFFER_BYTES } from '../../limits.ts';
import { TimeSlice } from '../../time-slice.ts';
import { CheckFindings } from '../shared/check-findings.ts';
import type { Chunk, ChunkTable } from './tables.ts';
import type { Trailer } from './trailer.ts';

/** What is checked. */
export interface CheckedDmg {
  readonly file: BlockChild;
  readonly trailer: Trailer;
  readonly tables: readonly ChunkTable[];
}

type Decode = (chunk: Chunk, output: Uint8Array) => Co<void>;

/** @param progress in bytes of the file. @throws BlockError what the storage throws, `aborted` */
export function* checkDmg(image: CheckedDmg, decode: Decode, progress?: Progress): Co<CheckResult> {
  const { trailer, tables } = image;
  const check = new DmgCheck(image, decode, progress);
  yield* check.dataFork();
  for (const [index, table] of tables.entries()) yield* check.table(index, table);
  const chunks = tables.flatMap((table) => table.chunks);
  return check.findings.result({
    imageEndOffset: trailer.dataFork.offset + trailer.dataFork.length,
    totalClusters: chunks.length,
    allocatedClusters: chunks.filter(({ kind }) => kind !== 'zero').length,
    compressedClusters: chunks.filter(({ kind }) => kind !== 'zero' && kind !== 'raw').length,
  });
}

class DmgCheck {
  readonly findings = new CheckFindings('none');
  readonly #image: CheckedDmg;
  readonly #decode: Decode;
  readonly #progress: Progress | undefined;
  readonly #slice = new TimeSlice();
  readonly #total: number;
  readonly #buffer = new Uint8Array(ZERO_BUFFER_BYTES);
  #done = 0;

  constructor(image: CheckedDmg, decode: Decode, progress: Progress | undefined) {
    this.#image = image;
    this.#decode = decode;
    this.#progress = progress;
    const stored = image.tables.flatMap(({ chunks }) => chunks).reduce((sum, { hostLength }) => sum + hostLength, 0);
    this.#total = stored + image.trailer.dataFork.length;
  }

  *dataFork(): Co<void> {
    const { dataFork, dataChecksum } = this.#image.trailer;
    if (dataChecksum === undefined) return;
    const sum = yield* this.#sumOfFile(dataFork.offset, dataFork.length, 0);
    if (sum === dataChecksum) return;
    this.findings.corruption(
      `ERROR the data fork has the checksum ${hex(sum)}, and should have ${hex(dataChecksum)}`,
      dataFork.offset,
    );
  }

  /** A chunk that cannot be read is a finding of its own, and then the checksum says nothing more. */
  *table(index: number, { chunks, checksum }: ChunkTable): Co<void> {
    let sum = 0;
    let broken = false;
    for (const chunk of chunks) {
      try {
        if (chunk.summed) sum = yield* this.#sumOf(chunk, sum);
      } catch (error) {
        if (!(error instanceof BlockError) || error.kind !== 'corrupt') throw error;
        this.findings.corruption(`ERROR ${error.message}`, chunk.hostOffset);
        broken = true;
      }
    }
    if (broken || checksum === undefined || sum === checksum) return;
    this.findings.corruption(
      `ERROR table ${index} of chunks has data with the checksum ${hex(sum)}, and should have ${hex(checksum)}`,
    );
  }

  *#sumOf(chunk: Chunk, before: number): Co<number> {
    const { kind, guestLength, hostOffset, hostLength } = chunk;
    if (kind === 'zero') return crc32OfZeroes(guestLength, before);
    if (kind === 'raw') return yield* this.#sumOfFile(hostOffset, guestLength, before);
    const bytes = new Uint8Array(guestLength);
    yield* this.#decode(chunk, bytes);
    const sum = crc32(bytes, before);
    yield* this.#step(hostLength);
    return sum;
  }

  *#sumOfFile(offset: number, length: number, before: number): Co<number> {
    let sum = before;
    for (let at = 0; at < length; at += this.#buffer.length) {
      const piece = this.#buffer.subarray(0, length - at);
      yield* settle(this.#image.file.read(offset + at, piece));
      sum = crc32(piece, sum);
      yield* this.#step(piece.length);
    }
    return sum;
  }

  *#step(bytes: number): Co<void> {
    this.#done += bytes;
    this.#progress?.report(Math.min(this.#done, this.#total), this.#total);
    yield* this.#slice.pause();
  }
}

function hex(sum: number): string {
  return `0x${sum.toString(16).padStart(8, '0')}`;
}

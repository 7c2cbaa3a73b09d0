/**
 * Finding out what a log asks to be done, and doing it. What counts is the newest entry that is whole, with all entries from the one
 * that its tail names up to itself, whole and in a row.
 *
 * Source: MS-VHDX, section 2.3.3.
 */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { TimeSlice } from '../../time-slice.ts';
import type { VhdxHeader } from './header.ts';
import { LOG_SECTOR, MAX_FILE_LENGTH, MAX_LOG_ENTRY_LENGTH, MIB, NO_GUID } from './layout.ts';
import { decodeEntry, decodeEntryHeader, isPossible, type LogChange, type LogEntryHeader } from './log-entry.ts';
import { LogRing } from './log-ring.ts';

/** Entries may seem to lie over one another; whole ones do not. So many times the log's length is looked at before it is given up. */
const MAX_READ_LOGS = 4;
const READ_BYTES = MIB;

interface Candidate {
  /** In the log. */
  readonly position: number;
  readonly header: LogEntryHeader;
  /** Whether all of it is there; undefined: nobody has looked. */
  whole: boolean | undefined;
}

/** What must be replayed: positions of entries, the oldest first. */
export interface ActiveSequence {
  readonly entries: readonly Candidate[];
  readonly head: LogEntryHeader;
}

/**
 * Looks for entries that must be replayed.
 *
 * @returns undefined when there are none @throws BlockError `corrupt` for a log that does not fit into the file or is a maze,
 * `unsupported` for an entry that is too large
 */
export function* findActiveSequence(file: BlockChild, header: VhdxHeader): Co<ActiveSequence | undefined> {
  const { logGuid, logLength, logOffset } = header;
  if (logGuid === NO_GUID || logLength === 0) return undefined;
  if (logOffset + logLength > file.length) {
    throw new BlockError(
      'corrupt',
      `The log at ${logOffset}, of ${logLength} bytes, does not fit into the file of ${file.length} bytes: it was cut off`,
    );
  }
  return yield* new LogSearch(new LogRing(file, header), logGuid).run();
}

class LogSearch {
  readonly #ring: LogRing;
  readonly #logGuid: string;
  readonly #candidates = new Map<number, Candidate>();
  readonly #slice = new TimeSlice();
  #bytesRead = 0;
  #steps = 0;

  constructor(ring: LogRing, logGuid: string) {
    this.#ring = ring;
    this.#logGuid = logGuid;
  }

  *run(): Co<ActiveSequence | undefined> {
    yield* this.#collect();
    const newestFirst = [...this.#candidates.values()].toSorted((a, b) =>
      a.header.sequenceNumber < b.header.sequenceNumber ? 1 : -1,
    );
    for (const head of newestFirst) {
      const entries = yield* this.#sequenceOf(head);
      if (entries !== undefined) return { entries, head: head.header };
    }
    return undefined;
  }

  /** Every sector that may be the first of an entry. */
  *#collect(): Co<void> {
    const { length } = this.#ring;
    const bytes = new Uint8Array(Math.min(READ_BYTES, length));
    for (let position = 0; position < length; position += bytes.length) {
      yield* this.#ring.read(position, bytes);
      for (let at = 0; at < bytes.length; at += LOG_SECTOR) {
        const header = decodeEntryHeader(bytes.subarray(at, at + LOG_SECTOR), this.#logGuid);
        if (header === undefined || !isPossible(header, length)) continue;
        this.#candidates.set(position + at, { position: position + at, header, whole: undefined });
      }
      yield* this.#slice.pause();
    }
  }

  /** @returns the entries from the head's tail to the head, or undefined when one is missing or not whole */
  *#sequenceOf(head: Candidate): Co<Candidate[] | undefined> {
    const entries: Candidate[] = [];
    for (let position = head.header.tail; ;) {
      this.#count();
      const entry = this.#candidates.get(position);
      if (entry === undefined) return undefined;
      const before = entries.at(-1);
      if (before !== undefined && entry.header.sequenceNumber !== before.header.sequenceNumber + 1n) return undefined;
      // Sequence numbers only rise, so this ends.
      if (entry.header.sequenceNumber > head.header.sequenceNumber) return undefined;
      if (!(yield* this.#isWhole(entry))) return undefined;
      entries.push(entry);
      if (entry === head) return entries;
      position = this.#ring.after(position, entry.header.entryLength);
    }
  }

  *#isWhole(entry: Candidate): Co<boolean> {
    if (entry.whole === undefined) {
      this.#bytesRead += entry.header.entryLength;
      if (this.#bytesRead > MAX_READ_LOGS * this.#ring.length) throw maze();
      entry.whole = (yield* readChanges(this.#ring, entry)) !== undefined;
      yield* this.#slice.pause();
    }
    return entry.whole;
  }

  #count(): void {
    this.#steps++;
    if (this.#steps > MAX_READ_LOGS * (this.#ring.length / LOG_SECTOR)) throw maze();
  }
}

function maze(): BlockError {
  return new BlockError(
    'corrupt',
    'The log of the VHDX image is damaged: its entries lie over one another, and none of the newest is whole',
  );
}

function* readChanges(ring: LogRing, { position, header }: Candidate): Co<readonly LogChange[] | undefined> {
  if (header.entryLength > MAX_LOG_ENTRY_LENGTH) {
    throw new BlockError(
      'unsupported',
      `An entry of the log has ${header.entryLength} bytes; no more than ${MAX_LOG_ENTRY_LENGTH} are read`,
    );
  }
  const bytes = new Uint8Array(header.entryLength);
  yield* ring.read(position, bytes);
  return decodeEntry(bytes, header);
}

/**
 * Does what the log says. On stable storage when it returns. To do it twice does no harm: whoever is interrupted begins anew.
 *
 * @throws BlockError `corrupt` when the file is shorter than the log knows it to be, or for a change outside the file
 */
export function* replay(file: BlockChild, header: VhdxHeader, { entries, head }: ActiveSequence): Co<void> {
  const ring = new LogRing(file, header);
  if (head.flushedFileOffset > BigInt(file.length)) {
    throw new BlockError(
      'corrupt',
      `The log of the VHDX image knows the file to have ${head.flushedFileOffset} bytes, and it has ${file.length}: it was cut off`,
    );
  }
  if (head.lastFileOffset > BigInt(MAX_FILE_LENGTH)) {
    throw new BlockError(
      'corrupt',
      `The log of the VHDX image makes the file ${head.lastFileOffset} bytes long, more than ${MAX_FILE_LENGTH}`,
    );
  }
  const end = Math.max(file.length, Number(head.lastFileOffset));
  for (const entry of entries) {
    const changes = yield* readChanges(ring, entry);
    if (changes === undefined) throw new BlockError('io', 'The log of the VHDX image changed while it was replayed');
    // All are looked at before the first is done: a file that cannot be mended is not to be changed.
    for (const change of changes) checkChange(change, end);
  }
  if (file.length < end) yield* settle(file.truncate(end));
  for (const entry of entries) {
    for (const change of (yield* readChanges(ring, entry)) ?? []) yield* apply(file, change);
  }
  yield* settle(file.flush());
}

function checkChange(change: LogChange, end: number): void {
  const length = 'bytes' in change ? BigInt(change.bytes.length) : change.zeroLength;
  const aligned = change.fileOffset % BigInt(LOG_SECTOR) === 0n && length % BigInt(LOG_SECTOR) === 0n;
  if (aligned && change.fileOffset + length <= BigInt(end)) return;
  throw new BlockError(
    'corrupt',
    `The log of the VHDX image changes ${length} bytes at ${change.fileOffset}: not whole sectors of 4 KiB inside the file`,
  );
}

function* apply(file: BlockChild, change: LogChange): Co<void> {
  const offset = Number(change.fileOffset);
  if ('bytes' in change) yield* settle(file.write(offset, change.bytes));
  else if (change.zeroLength > 0n) yield* settle(file.writeZeroes(offset, Number(change.zeroLength)));
}

/**
 * Changes of tables go through the log: an entry with all of them is on stable storage before the first sector of the table is
 * touched. An entry is the tail of its own sequence, because what is before it has been done. The header leads to the log only when
 * an entry is in it, so a log that must be replayed is never empty.
 */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { randomGuid } from '../shared/guid.ts';
import type { VhdxHeaders } from './header.ts';
import { DESCRIPTORS_IN_FIRST, NO_GUID } from './layout.ts';
import { encodeEntry, type LoggedSector } from './log-entry.ts';
import { LogRing } from './log-ring.ts';

/** With so many sectors an entry is less than half of the smallest log, so it never lies over the one before it. */
export const MAX_LOGGED_SECTORS = DESCRIPTORS_IN_FIRST;

export class LogWriter {
  readonly #file: BlockChild;
  readonly #headers: VhdxHeaders;
  readonly #ring: LogRing;
  /** New with every session, so that older entries are nobody's. */
  #logGuid = randomGuid();
  #sequenceNumber = 1n;
  #position = 0;

  constructor(file: BlockChild, headers: VhdxHeaders) {
    this.#file = file;
    this.#headers = headers;
    this.#ring = new LogRing(file, headers.current);
  }

  /** Whether the header leads to the log. */
  get active(): boolean {
    return this.#headers.current.logGuid !== NO_GUID;
  }

  /**
   * Writes sectors by way of the log. On stable storage when it returns.
   *
   * @param sectors at most `MAX_LOGGED_SECTORS`. If this fails, the next call must bring them again: its entry stands for itself
   */
  *write(sectors: readonly LoggedSector[]): Co<void> {
    const length = BigInt(this.#file.length);
    const entry = encodeEntry(
      {
        tail: this.#position,
        sequenceNumber: this.#sequenceNumber,
        logGuid: this.#logGuid,
        flushedFileOffset: length,
        lastFileOffset: length,
      },
      sectors,
    );
    yield* this.#ring.write(this.#position, entry);
    yield* settle(this.#file.flush());
    // It is in the log now, whatever fails from here on: it must not be written over by the next one.
    this.#position = this.#ring.after(this.#position, entry.length);
    this.#sequenceNumber++;
    if (!this.active) yield* this.#headers.update({ logGuid: this.#logGuid });
    for (const { fileOffset, bytes } of sectors) {
      this.#file.event('l2_update');
      yield* settle(this.#file.write(fileOffset, bytes));
    }
    yield* settle(this.#file.flush());
  }

  /** All that was logged has been done, and the header says so. */
  *close(): Co<void> {
    if (!this.active) return;
    yield* this.#headers.update({ logGuid: NO_GUID });
    this.#logGuid = randomGuid();
    this.#sequenceNumber = 1n;
    this.#position = 0;
  }
}

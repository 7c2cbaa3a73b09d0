/**
 * What a guest may see on its disk. A flat array of sectors, each with the list of what was ever written to it and when, so that
 * one model answers both "what must a read give now" and "what may be there after the power was cut at that point of the log".
 */
import { describeSector, equalBytes, isZero, SECTOR_BYTES } from './random.ts';
import { ModelMismatch } from './model-mismatch.ts';
import { SnapshotModel } from './snapshot-model.ts';

/** Something that was done to a sector. */
interface SectorEvent {
  /** What the sector holds from then on; undefined: zeroes. */
  readonly bytes: Uint8Array | undefined;
  readonly label: string;
  readonly began: Moment;
  /** When it was answered; undefined: it has not been. */
  answered: Moment | undefined;
  /** It may have had no effect: a discard, or a write that failed. */
  optional: boolean;
  /** A read has shown that it had none, as far as the guest sees; on the disk it may be all the same, until the next flush. */
  refuted: boolean;
}

/** A point in time: `tick` orders what the guest did, `position` is the place in the storage's log. */
interface Moment {
  readonly tick: number;
  readonly position: number;
}

/** Something that was begun. Exactly one of the two is called when the answer is there. */
export interface PendingChange {
  succeeded(): void;
  /** It may have happened, or not, or in part. */
  failed(): void;
}

interface Flush {
  readonly began: Moment;
  readonly answered: Moment;
}

interface SizeEvent {
  readonly size: number;
  readonly began: Moment;
  answered: Moment | undefined;
  failed: boolean;
}

export interface DiskModelOptions {
  /** What the disk holds at first: a multiple of 512 bytes; shorter than the disk means zeroes from there on. */
  readonly initial?: Uint8Array;
  /** What a backing file holds, also behind the disk's end: shown while a cut is half done. Without it, `initial`. */
  readonly below?: Uint8Array;
  /** The place in the log of the storage under the disk. */
  readonly position?: () => number;
}

export class DiskModel {
  readonly #sectors = new Map<number, SectorEvent[]>();
  readonly #initial: Uint8Array;
  readonly #below: Uint8Array;
  readonly #position: () => number;
  readonly #flushes: Flush[] = [];
  readonly #sizes: SizeEvent[];
  readonly snapshots: SnapshotModel;
  #tick = 1;
  /** Numbers of the sectors that something was done to, in order: as many as there were when they were sorted. */
  #sorted: readonly number[] = [];
  #lastCut = { tick: 0, position: 0, allowed: new Map<number, readonly SectorEvent[]>() };

  /** @param size bytes, a multiple of 512 */
  constructor(size: number, options: DiskModelOptions = {}) {
    this.#initial = options.initial ?? new Uint8Array(0);
    this.#below = options.below ?? this.#initial;
    this.#position = options.position ?? (() => 0);
    this.snapshots = new SnapshotModel(this.#position);
    const start = { tick: 0, position: 0 };
    this.#sizes = [{ size, began: start, answered: start, failed: false }];
  }

  write(offset: number, data: Uint8Array, label: string): PendingChange {
    const events: SectorEvent[] = [];
    const kept = data.slice();
    this.#eachSector(offset, data.length, (sector) => {
      const start = sector * SECTOR_BYTES;
      const whole = start >= offset && start + SECTOR_BYTES <= offset + data.length;
      const bytes = whole
        ? kept.subarray(start - offset, start - offset + SECTOR_BYTES)
        : this.#merged(sector, offset, data);
      events.push(this.#add(sector, bytes, label, false));
    });
    return this.#pending(events);
  }

  writeZeroes(offset: number, length: number, label: string): PendingChange {
    const events: SectorEvent[] = [];
    this.#eachSector(offset, length, (sector) => {
      const start = sector * SECTOR_BYTES;
      const whole = start >= offset && start + SECTOR_BYTES <= offset + length;
      const bytes = whole ? undefined : this.#merged(sector, offset, new Uint8Array(length));
      events.push(this.#add(sector, bytes, label, false));
    });
    return this.#pending(events);
  }

  /** Whole sectors inside the range may become zero, or stay. */
  discard(offset: number, length: number, label: string): PendingChange {
    const events: SectorEvent[] = [];
    const first = Math.ceil(offset / SECTOR_BYTES);
    const end = Math.floor((offset + length) / SECTOR_BYTES);
    for (let sector = first; sector < end; sector++) events.push(this.#add(sector, undefined, label, true));
    return this.#pending(events);
  }

  flush(): PendingChange {
    const began = this.#now();
    return {
      succeeded: () => {
        this.#flushes.push({ began, answered: this.#now() });
      },
      failed: () => undefined,
    };
  }

  /**
   * What is cut off is gone; what is added reads as zeroes. Until the cut is on the disk, what is being cut off may also show the
   * backing file: clusters are given back before the size says so.
   */
  resize(size: number, label: string): PendingChange {
    const event: SizeEvent = { size, began: this.#now(), answered: undefined, failed: false };
    const events: SectorEvent[] = [];
    const largest = Math.max(...this.#sizes.map((known) => known.size));
    for (let sector = size / SECTOR_BYTES; sector < largest / SECTOR_BYTES; sector++) {
      const shown = this.#add(sector, sectorOf(this.#below, sector), `${label}, half done`, true);
      shown.answered = shown.began;
      events.push(this.#add(sector, undefined, label, false));
    }
    this.#sizes.push(event);
    const cut = this.#pending(events);
    return {
      succeeded: () => {
        event.answered = this.#now();
        cut.succeeded();
      },
      failed: () => {
        event.answered = this.#now();
        event.failed = true;
        cut.failed();
      },
    };
  }

  /** Every sector of a disk of so many bytes shows what the backing file holds. */
  makeEmpty(size: number, label: string): PendingChange {
    const events: SectorEvent[] = [];
    this.#eachSector(0, size, (sector) => events.push(this.#add(sector, sectorOf(this.#below, sector), label, false)));
    return this.#pending(events);
  }

  /** The disk was closed and opened again without what was not flushed being written: any of it may be lost. */
  lostUnflushed(): void {
    const stable = this.#stableTick(Number.POSITIVE_INFINITY);
    const isUnflushed = ({ answered }: { readonly answered: Moment | undefined }): boolean =>
      answered === undefined || answered.tick > stable;
    for (const events of this.#sectors.values()) {
      for (const event of events) {
        if (!isUnflushed(event)) continue;
        event.optional = true;
        event.refuted = false;
      }
    }
    for (const event of this.#sizes) if (isUnflushed(event)) event.failed = true;
  }

  /** A time to begin a read at: what was answered before must be seen. */
  beginRead(): number {
    return this.#now().tick;
  }

  /**
   * Checks what a read gave, and remembers the outcome of discards that it shows.
   *
   * @param since what `beginRead` gave
   * @throws ModelMismatch that says which sector holds what, and what it may hold
   */
  verifyRead(offset: number, bytes: Uint8Array, since: number): void {
    this.#eachTouched(offset, bytes, 'after a read', (sector) => {
      const allowed = this.#allowed(sector, since, Number.POSITIVE_INFINITY).filter(({ refuted }) => !refuted);
      const found = this.#match(sector, offset, bytes, allowed, 'after a read');
      if (found !== undefined) this.#settle(found, allowed, since);
    });
  }

  /**
   * Checks what a disk holds after a power cut.
   *
   * @param position how much of the storage's log had happened
   * @param bytes the whole disk
   * @throws ModelMismatch
   */
  verifyAfterCut(position: number, bytes: Uint8Array): void {
    const stable = this.#stableTick(position);
    const sizes = this.#allowedSizes(stable, position);
    if (!sizes.has(bytes.length)) {
      const expected = [...sizes].join(' or ');
      throw new ModelMismatch(`after a power cut the disk has ${bytes.length} bytes; it may have ${expected}`);
    }
    this.#eachTouched(0, bytes, 'after the power cut', (sector) => {
      this.#match(sector, 0, bytes, this.#allowedAfterCut(sector, stable, position), 'after the power cut');
    });
  }

  /** The sizes in bytes that the disk may have after a power cut. */
  #allowedSizes(stable: number, position: number): Set<number> {
    const begun = this.#sizes.filter(({ began }) => began.position <= position);
    const last = begun.findLastIndex(
      ({ answered, failed }) => !failed && answered !== undefined && answered.tick <= stable,
    );
    return new Set(begun.slice(Math.max(0, last)).map(({ size }) => size));
  }

  /** The tick at which the last flush began that had been answered by a place in the log. */
  #stableTick(position: number): number {
    let tick = 0;
    for (const { began, answered } of this.#flushes) {
      if (answered.position <= position) tick = Math.max(tick, began.tick);
    }
    return tick;
  }

  /** The same as `#allowed`, remembered: many contents are looked at for one place in the log. */
  #allowedAfterCut(sector: number, stable: number, position: number): readonly SectorEvent[] {
    const { tick } = this.#lastCut;
    if (tick !== this.#tick || this.#lastCut.position !== position) {
      this.#lastCut = { tick: this.#tick, position, allowed: new Map() };
    }
    const known = this.#lastCut.allowed.get(sector);
    if (known !== undefined) return known;
    const allowed = this.#allowed(sector, stable, position);
    this.#lastCut.allowed.set(sector, allowed);
    return allowed;
  }

  /** What was done to a sector by `position`, without what had been overwritten for good at tick `stable`. */
  #allowed(sector: number, stable: number, position: number): SectorEvent[] {
    const events = (this.#sectors.get(sector) ?? []).filter(({ began }) => began.position <= position);
    const overwriting = events.filter(
      ({ optional, answered }) => !optional && answered !== undefined && answered.tick <= stable,
    );
    const lastBegan = Math.max(-1, ...overwriting.map(({ began }) => began.tick));
    return [this.#initialEvent(sector), ...events].filter(
      ({ answered }) => answered === undefined || answered.tick >= lastBegan,
    );
  }

  #initialEvent(sector: number): SectorEvent {
    const moment = { tick: 0, position: 0 };
    return {
      bytes: sectorOf(this.#initial, sector),
      label: 'what was there at first',
      began: moment,
      answered: moment,
      optional: false,
      refuted: false,
    };
  }

  /** @returns the event whose bytes the sector holds, or undefined if only a part of the sector was read */
  #match(
    sector: number,
    offset: number,
    bytes: Uint8Array,
    allowed: readonly SectorEvent[],
    when: string,
  ): SectorEvent | undefined {
    const start = sector * SECTOR_BYTES;
    const from = Math.max(start, offset);
    const to = Math.min(start + SECTOR_BYTES, offset + bytes.length);
    const seen = bytes.subarray(from - offset, to - offset);
    const isWhole = seen.length === SECTOR_BYTES;
    const found = allowed.findLast((event) => {
      const expected = sectorBytes(event);
      return equalBytes(isWhole ? expected : expected.subarray(from - start, to - start), seen);
    });
    if (found === undefined) {
      const expected = allowed.map((event) => `${event.label} (${describeSector(sectorBytes(event))})`).join(' | ');
      throw new ModelMismatch(`${when}, guest sector ${sector} holds ${describeSector(seen)}; allowed: ${expected}`);
    }
    return isWhole ? found : undefined;
  }

  /** A read has shown what became of the optional changes to a sector: later reads must show the same. */
  #settle(found: SectorEvent, allowed: readonly SectorEvent[], since: number): void {
    const open = allowed.filter(({ optional }) => optional);
    if (open.length === 0 || allowed.some(({ answered }) => answered === undefined)) return;
    if (found.optional) {
      found.optional = false;
      return;
    }
    if (allowed.filter((event) => equalBytes(sectorBytes(event), sectorBytes(found))).length > 1) return;
    // A change that ran beside the read may have come after it looked: that says nothing of what became of it.
    for (const event of open) {
      if (event.began.tick > found.began.tick && event.answered!.tick <= since) event.refuted = true;
    }
  }

  /** What a sector holds when a write changes a part of it. Such writes must not run beside others to the sector. */
  #merged(sector: number, offset: number, data: Uint8Array): Uint8Array {
    const allowed = this.#allowed(sector, this.#tick, Number.POSITIVE_INFINITY).filter(({ refuted }) => !refuted);
    const [before] = allowed;
    if (allowed.length !== 1 || before === undefined) {
      throw new Error(`a write to a part of sector ${sector} while its content is open: read it first`);
    }
    const merged = sectorBytes(before).slice();
    const start = sector * SECTOR_BYTES;
    const from = Math.max(start, offset);
    const to = Math.min(start + SECTOR_BYTES, offset + data.length);
    merged.set(data.subarray(from - offset, to - offset), from - start);
    return merged;
  }

  #add(sector: number, bytes: Uint8Array | undefined, label: string, optional: boolean): SectorEvent {
    const event: SectorEvent = { bytes, label, began: this.#now(), answered: undefined, optional, refuted: false };
    const events = this.#sectors.get(sector);
    if (events === undefined) this.#sectors.set(sector, [event]);
    else events.push(event);
    return event;
  }

  #pending(events: readonly SectorEvent[]): PendingChange {
    const answer = (): void => {
      const answered = this.#now();
      for (const event of events) event.answered = answered;
    };
    return {
      succeeded: answer,
      failed: () => {
        answer();
        for (const event of events) event.optional = true;
      },
    };
  }

  #now(): Moment {
    return { tick: this.#tick++, position: this.#position() };
  }

  /** Visits the sectors that something was done to. The others hold what was there at first: compared in one piece. */
  #eachTouched(offset: number, bytes: Uint8Array, when: string, visit: (sector: number) => void): void {
    let untouched = offset;
    const compare = (end: number): void => {
      const seen = bytes.subarray(untouched - offset, end - offset);
      if (this.#isInitial(untouched, seen)) return;
      this.#eachSector(untouched, seen.length, (sector) => {
        this.#match(sector, offset, bytes, [this.#initialEvent(sector)], when);
      });
    };
    for (const sector of this.#touchedIn(offset, bytes.length)) {
      const start = sector * SECTOR_BYTES;
      if (start > untouched) compare(start);
      visit(sector);
      untouched = start + SECTOR_BYTES;
    }
    if (untouched < offset + bytes.length) compare(offset + bytes.length);
  }

  #touchedIn(offset: number, length: number): readonly number[] {
    if (this.#sorted.length !== this.#sectors.size) {
      this.#sorted = [...this.#sectors.keys()].toSorted((one, other) => one - other);
    }
    const from = firstAtLeast(this.#sorted, Math.floor(offset / SECTOR_BYTES));
    return this.#sorted.slice(from, firstAtLeast(this.#sorted, Math.ceil((offset + length) / SECTOR_BYTES)));
  }

  #isInitial(offset: number, bytes: Uint8Array): boolean {
    const known = this.#initial.subarray(offset, offset + bytes.length);
    return equalBytes(bytes.subarray(0, known.length), known) && isZero(bytes.subarray(known.length));
  }

  #eachSector(offset: number, length: number, visit: (sector: number) => void): void {
    const end = Math.ceil((offset + length) / SECTOR_BYTES);
    for (let sector = Math.floor(offset / SECTOR_BYTES); sector < end; sector++) visit(sector);
  }
}

/** @returns how many of the sorted numbers are below a limit: where the first is that is not */
function firstAtLeast(sorted: readonly number[], limit: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (sorted[middle]! < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** @returns undefined behind the end: zeroes */
function sectorOf(bytes: Uint8Array, sector: number): Uint8Array | undefined {
  const start = sector * SECTOR_BYTES;
  return start < bytes.length ? bytes.subarray(start, start + SECTOR_BYTES) : undefined;
}

const zeroSector = new Uint8Array(SECTOR_BYTES);

function sectorBytes(event: SectorEvent): Uint8Array {
  return event.bytes ?? zeroSector;
}

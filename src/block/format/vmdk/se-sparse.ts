/**
 * Space efficient sparse extents, which ESX servers since 6.5 make for snapshots, read only, as QEMU reads them. Entries have 64 bits:
 * those of the directory are numbers of grain tables, those of the tables numbers of grains.
 *
 * Source: Sam Eiderman's description of the format, "vmdk: Add read-only support for seSparse snapshots" (qemu-devel, 2019).
 */
import { settle, start, type Co, type MaybePromise } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { backingExtent, dataExtent, zeroExtent, type Extent } from '../../extent.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import type { CheckFindings } from '../shared/check-findings.ts';
import { SliceCache } from '../shared/slice-cache.ts';
import type { DiskExtent, ExtentFacts } from './disk-extent.ts';
import {
  MAX_DIRECTORY_ENTRIES,
  SE_SPARSE,
  SE_SPARSE_ENTRY_LENGTH,
  SE_SPARSE_GRAIN_SECTORS,
  SE_SPARSE_KIND,
  SE_SPARSE_MAGIC,
  SE_SPARSE_TABLE_SECTORS,
  SE_SPARSE_VERSION,
  SE_SPARSE_VOLATILE_MAGIC,
  SE_SPARSE_VOLATILE_REPLAY,
} from './layout.ts';

const GRAIN_SIZE = SE_SPARSE_GRAIN_SECTORS * SECTOR_SIZE;
const TABLE_BYTES = SE_SPARSE_TABLE_SECTORS * SECTOR_SIZE;
const ENTRIES_PER_TABLE = TABLE_BYTES / SE_SPARSE_ENTRY_LENGTH;
const TABLE_SPAN = ENTRIES_PER_TABLE * GRAIN_SIZE;
const MIN_TABLES = 4;

const UNALLOCATED = -1;
const ZERO = -2;

interface SeSparseHeader {
  /** Bytes. */
  readonly capacity: number;
  readonly directory: number;
  readonly tables: number;
  readonly grains: number;
}

/** @throws BlockError `corrupt`, `unsupported` for a journal that must be replayed, and for other versions and sizes */
function* readHeader(file: BlockChild): Co<SeSparseHeader> {
  const bytes = new Uint8Array(SECTOR_SIZE);
  yield* settle(file.read(0, bytes));
  const view = new DataView(bytes.buffer);
  const u64 = (at: number): bigint => view.getBigUint64(at, true);
  if (u64(SE_SPARSE.magic) !== SE_SPARSE_MAGIC) throw broken('does not begin as a SESPARSE extent does');
  const shape = [u64(SE_SPARSE.version), u64(SE_SPARSE.grainSize), u64(SE_SPARSE.tableSize), u64(SE_SPARSE.flags)];
  const known = [SE_SPARSE_VERSION, BigInt(SE_SPARSE_GRAIN_SECTORS), BigInt(SE_SPARSE_TABLE_SECTORS), 0n];
  if (shape.some((value, index) => value !== known[index])) {
    const found = shape.map((value) => `0x${value.toString(16)}`).join(', ');
    throw new BlockError('unsupported', `SESPARSE extents with version, sizes and flags ${found} are not known`);
  }
  const place = (at: number, name: string): number => {
    const sectors = u64(at);
    if (sectors * BigInt(SECTOR_SIZE) > BigInt(Number.MAX_SAFE_INTEGER))
      throw broken(`has ${name} ${sectors}, beyond 2^53 bytes`);
    return Number(sectors) * SECTOR_SIZE;
  };
  yield* refuseJournal(file, place(SE_SPARSE.volatileHeader, 'volatile_header_offset'));
  return {
    capacity: place(SE_SPARSE.capacity, 'capacity'),
    directory: place(SE_SPARSE.directory, 'grain_dir_offset'),
    tables: place(SE_SPARSE.tables, 'grain_tables_offset'),
    grains: place(SE_SPARSE.grains, 'grains_offset'),
  };
}

function* refuseJournal(file: BlockChild, offset: number): Co<void> {
  const bytes = new Uint8Array(SECTOR_SIZE);
  yield* settle(file.read(offset, bytes));
  const view = new DataView(bytes.buffer);
  if (view.getBigUint64(0, true) !== SE_SPARSE_VOLATILE_MAGIC) throw broken(`has no volatile header at ${offset}`);
  if (view.getUint8(SE_SPARSE_VOLATILE_REPLAY) === 0) return;
  throw new BlockError('unsupported', 'The SESPARSE extent was not closed: replaying its journal is not supported');
}

function broken(what: string): BlockError {
  return new BlockError('corrupt', `The header of the SESPARSE extent ${what}`);
}

export class SeSparseExtent implements DiskExtent {
  readonly length: number;
  readonly facts: ExtentFacts;
  readonly grainSize = GRAIN_SIZE;
  readonly readOnlyBecause = 'SESPARSE extents are only read';
  readonly #file: BlockChild;
  readonly #header: SeSparseHeader;
  readonly #directory: DataView;
  readonly #cache: SliceCache;

  private constructor(
    file: BlockChild,
    header: SeSparseHeader,
    directory: DataView,
    length: number,
    facts: ExtentFacts,
    cacheBytes: number,
  ) {
    this.#file = file;
    this.#header = header;
    this.#directory = directory;
    this.length = length;
    this.facts = facts;
    this.#cache = new SliceCache({
      file,
      sliceBytes: TABLE_BYTES,
      capacity: Math.max(MIN_TABLES, Math.floor(cacheBytes / TABLE_BYTES)),
      locate: (table) => this.#tablePlace(table),
      loadEvent: 'l2_load',
      updateEvent: 'l2_update',
    });
  }

  /** @param length bytes as the descriptor says them. @throws BlockError `corrupt`, `unsupported` */
  static *open(file: BlockChild, length: number, facts: ExtentFacts, cacheBytes: number): Co<SeSparseExtent> {
    const header = yield* readHeader(file);
    if (length > header.capacity) {
      throw broken(`says ${header.capacity} bytes, and the descriptor ${length}`);
    }
    const entries = Math.ceil(length / TABLE_SPAN);
    if (entries > MAX_DIRECTORY_ENTRIES) {
      throw new BlockError(
        'unsupported',
        `The grain directory has ${entries} entries; ${MAX_DIRECTORY_ENTRIES} are read`,
      );
    }
    const directoryBytes = entries * SE_SPARSE_ENTRY_LENGTH;
    if (header.directory + directoryBytes > file.length)
      throw broken('has its grain directory behind the end of the file');
    const bytes = new Uint8Array(directoryBytes);
    yield* settle(file.read(header.directory, bytes));
    return new SeSparseExtent(file, header, new DataView(bytes.buffer), length, facts, cacheBytes);
  }

  #tablePlace(table: number): number {
    const at = table * SE_SPARSE_ENTRY_LENGTH;
    const high = this.#directory.getUint32(at + 4, true);
    const low = this.#directory.getUint32(at, true);
    if (high === 0 && low === 0) return 0;
    const place = this.#header.tables + low * TABLE_BYTES;
    if (high === 2 ** 28 && place + TABLE_BYTES <= this.#file.length) return place;
    throw new BlockError('corrupt', `Entry ${table} of the grain directory leads to where no grain table can be`, {
      offset: table * TABLE_SPAN,
    });
  }

  map(offset: number, length: number): MaybePromise<Extent> {
    const slot = this.#cache.lookup(Math.floor(offset / TABLE_SPAN));
    return slot >= 0 ? this.#mapSlot(slot, offset, length) : start(this.#load(offset, length));
  }

  *#load(offset: number, length: number): Co<Extent> {
    const slot = yield* this.#cache.load(Math.floor(offset / TABLE_SPAN));
    if (slot >= 0) return this.#mapSlot(slot, offset, length);
    return backingExtent(Math.min(length, TABLE_SPAN - (offset % TABLE_SPAN)));
  }

  #mapSlot(slot: number, offset: number, length: number): Extent {
    const inGrain = offset % GRAIN_SIZE;
    const index = Math.floor(offset / GRAIN_SIZE) % ENTRIES_PER_TABLE;
    const place = this.#grainPlace(slot, index, offset);
    const step = place >= 0 ? GRAIN_SIZE : 0;
    const wanted = Math.min(Math.ceil((inGrain + length) / GRAIN_SIZE), ENTRIES_PER_TABLE - index);
    let run = 1;
    while (run < wanted && this.#grainPlace(slot, index + run, offset) === place + run * step) run++;
    const covered = Math.min(length, run * GRAIN_SIZE - inGrain);
    if (place === UNALLOCATED) return backingExtent(covered);
    if (place === ZERO) return zeroExtent(covered);
    return dataExtent(this.#file, place + inGrain, covered, false);
  }

  /** @returns bytes in the file, `UNALLOCATED` or `ZERO`. @throws BlockError `corrupt` */
  #grainPlace(slot: number, index: number, guestOffset: number): number {
    const view = this.#cache.view(slot);
    const at = this.#cache.start(slot) + index * SE_SPARSE_ENTRY_LENGTH;
    const high = view.getUint32(at + 4, true);
    const low = view.getUint32(at, true);
    const kind = Math.floor(high / 2 ** 28);
    if (kind === SE_SPARSE_KIND.unallocated && high === 0 && low === 0) return UNALLOCATED;
    if (kind === SE_SPARSE_KIND.unmapped || kind === SE_SPARSE_KIND.zero) return ZERO;
    if (kind === SE_SPARSE_KIND.allocated) {
      // The lowest 12 bits of the grain's number stand above the others.
      const grain = ((high % 2 ** 16) * 2 ** 32 + low) * 2 ** 12 + (Math.floor(high / 2 ** 16) % 2 ** 12);
      const place = this.#header.grains + grain * GRAIN_SIZE;
      if (place + GRAIN_SIZE <= this.#file.length) return place;
    }
    throw new BlockError('corrupt', `The grain table entry at offset ${guestOffset} leads to where no grain can be`, {
      offset: guestOffset,
    });
  }

  allocate(): never {
    throw new BlockError('permission', this.readOnlyBecause);
  }

  *check(diskOffset: number, findings: CheckFindings): Co<void> {
    for (let offset = 0; offset < this.length;) {
      const end = Math.min(this.length, offset + TABLE_SPAN - (offset % TABLE_SPAN));
      try {
        offset += (yield* settle(this.map(offset, end - offset))).length;
      } catch (error) {
        if (!(error instanceof BlockError) || error.kind !== 'corrupt') throw error;
        const sector = (diskOffset + offset) / SECTOR_SIZE;
        findings.corruption(() => `ERROR: could not get cluster_offset for sector ${sector}: ${error.message}`);
        offset += GRAIN_SIZE;
      }
    }
  }
}

/** A VHDX image as bytes, to be damaged field by field, with logs that are made by hand after the specification. */
import { crc32c } from '../../src/codec/crc32c.ts';
import { vhdx } from '../../src/block/format/vhdx/driver.ts';
import { guidBytes } from '../../src/block/format/shared/guid.ts';
import { arrayBytes } from './image-bytes.ts';
import { makeImage } from './scenario.ts';
import { mendVhdx } from './vhdx-damage.ts';

export const MiB = 2 ** 20;
export const HEADERS = [64 * 1024, 128 * 1024] as const;
export const REGION_TABLES = [192 * 1024, 256 * 1024] as const;
/** As `create` lays an image with a log of 1 MiB out. */
export const LOG = MiB;
export const METADATA = 2 * MiB;
export const METADATA_ITEMS = METADATA + 64 * 1024;
export const BAT = 3 * MiB;
export const DATA = 4 * MiB;
export const LOG_GUID = '12345678-9abc-def0-1234-56789abcdef0';
const SECTOR = 4096;

export type Change =
  | { readonly at: number; readonly data: Uint8Array }
  | { readonly at: number; readonly zeroes: number | bigint };

export interface Entry {
  /** In the log. */
  readonly position: number;
  readonly sequence: number;
  /** Default: itself. */
  readonly tail?: number;
  readonly guid?: string;
  readonly flushed?: number;
  readonly last?: number;
  readonly changes: readonly Change[];
}

export class VhdxFile {
  bytes: Uint8Array<ArrayBuffer>;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes.slice();
  }

  /** A dynamic disk of 3 blocks of 1 MiB, or what is asked for. */
  static async create(options: Readonly<Record<string, unknown>> = {}): Promise<VhdxFile> {
    return new VhdxFile((await makeImage(vhdx, { size: 3 * MiB, block_size: MiB, ...options })).toBytes());
  }

  get view(): DataView {
    return new DataView(this.bytes.buffer);
  }

  /** Makes all checksums right. */
  mend(): this {
    mendVhdx(arrayBytes(this.bytes));
    return this;
  }

  /** Changes something, and makes the checksums right again. */
  change(body: (view: DataView, bytes: Uint8Array) => void): this {
    body(this.view, this.bytes);
    return this.mend();
  }

  setBat(index: number, state: number, mib: number): this {
    return this.change((view) => view.setBigUint64(BAT + index * 8, (BigInt(mib) << 20n) | BigInt(state), true));
  }

  /** Both headers lead to the log. */
  openLog(guid = LOG_GUID): this {
    return this.change((_view, bytes) => {
      for (const header of HEADERS) bytes.set(guidBytes(guid), header + 48);
    });
  }

  /** Puts an entry into the log, around its end if need be. */
  log(entry: Entry): this {
    const bytes = makeEntry(entry, this.bytes.length);
    for (let at = 0; at < bytes.length; at += SECTOR) {
      this.bytes.set(bytes.subarray(at, at + SECTOR), LOG + ((entry.position + at) % MiB));
    }
    return this;
  }

  /** An entry that was not written to its end: its last sector is what was there before. */
  tornLog(entry: Entry): this {
    const length = makeEntry(entry, 0).length;
    const last = LOG + ((entry.position + length - SECTOR) % MiB);
    const before = this.bytes.slice(last, last + SECTOR);
    this.log(entry);
    this.bytes.set(before, last);
    return this;
  }
}

function makeEntry(
  { position, sequence, tail = position, guid = LOG_GUID, flushed, last, changes }: Entry,
  fileLength: number,
): Uint8Array {
  const descriptors = Math.ceil((64 + 32 * changes.length) / SECTOR) * SECTOR;
  const sectors = changes.filter((change) => 'data' in change).length;
  const bytes = new Uint8Array(descriptors + sectors * SECTOR);
  const view = new DataView(bytes.buffer);
  const text = (at: number, letters: string): void => bytes.set(new TextEncoder().encode(letters), at);
  text(0, 'loge');
  view.setUint32(8, bytes.length, true);
  view.setUint32(12, tail, true);
  view.setBigUint64(16, BigInt(sequence), true);
  view.setUint32(24, changes.length, true);
  bytes.set(guidBytes(guid), 32);
  view.setBigUint64(48, BigInt(flushed ?? fileLength), true);
  view.setBigUint64(56, BigInt(last ?? fileLength), true);
  let sector = descriptors;
  for (const [index, change] of changes.entries()) {
    const at = 64 + 32 * index;
    view.setBigUint64(at + 16, BigInt(change.at), true);
    view.setBigUint64(at + 24, BigInt(sequence), true);
    if ('zeroes' in change) {
      text(at, 'zero');
      view.setBigUint64(at + 8, BigInt(change.zeroes), true);
      continue;
    }
    text(at, 'desc');
    bytes.set(change.data.subarray(4092), at + 4);
    bytes.set(change.data.subarray(0, 8), at + 8);
    bytes.set(change.data, sector);
    text(sector, 'data');
    view.setUint32(sector + 4, 0, true);
    view.setUint32(sector + 4092, sequence, true);
    sector += SECTOR;
  }
  view.setUint32(4, crc32c(bytes), true);
  return bytes;
}

/** A sector of the BAT in which the first entries lead to blocks: whole MiB in the file. */
export function batSector(...mib: readonly number[]): Uint8Array {
  const sector = new Uint8Array(SECTOR);
  const view = new DataView(sector.buffer);
  for (const [index, place] of mib.entries()) view.setBigUint64(index * 8, (BigInt(place) << 20n) | 6n, true);
  // So that the last bytes, which a descriptor carries, are something.
  sector.set([1, 2, 3, 4], 4088);
  return sector;
}

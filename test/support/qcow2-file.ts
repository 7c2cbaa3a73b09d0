/** A qcow2 file in memory whose fields a test sets by hand, and an image opened on it without a graph. */
import { startAsync } from '../../src/block/co.ts';
import type { FormatImage, OpenFlags, Storage } from '../../src/block/driver.ts';
import { qcow2 } from '../../src/block/format/qcow2/driver.ts';
import { FIELD, INCOMPATIBLE_EXTENDED_L2 } from '../../src/block/format/qcow2/layout.ts';
import { portableCompression } from '../../src/codec/index.ts';
import { parseOptions } from '../../src/block/options.ts';
import { createQcow2 } from './qcow2-builder.ts';
import { SparseBytes } from './sparse-bytes.ts';
import { StorageChild } from './storage-child.ts';

/** The child of an image, which notes the events that the driver reports. */
export class EventChild extends StorageChild {
  readonly events: string[] = [];

  override event(name?: string): void {
    if (name !== undefined) this.events.push(name);
  }
}

export class Qcow2File {
  readonly bytes: SparseBytes;

  constructor(bytes: Uint8Array | SparseBytes) {
    this.bytes = bytes instanceof SparseBytes ? bytes : SparseBytes.from(bytes);
  }

  /** @param options as for `create` */
  static async create(options: Readonly<Record<string, unknown>>): Promise<Qcow2File> {
    return new Qcow2File(await createQcow2(options));
  }

  get clusterSize(): number {
    return 2 ** this.uint32(FIELD.clusterBits);
  }

  uint32(offset: number): number {
    return Number(this.#read(offset, 4));
  }

  uint64(offset: number): bigint {
    return this.#read(offset, 8);
  }

  setUint32(offset: number, value: number): this {
    return this.#write(offset, 4, BigInt(value));
  }

  setUint64(offset: number, value: bigint | number): this {
    return this.#write(offset, 8, BigInt(value));
  }

  /** Where an entry of the active L1 table is. */
  l1Entry(index: number): number {
    return Number(this.uint64(FIELD.l1TableOffset)) + index * 8;
  }

  /** Where the L2 entry of a guest offset is; its table must exist. */
  l2Entry(guestOffset: number): number {
    const cluster = Math.floor(guestOffset / this.clusterSize);
    const isExtended =
      this.uint32(FIELD.version) > 2 && (this.uint64(FIELD.incompatibleFeatures) & INCOMPATIBLE_EXTENDED_L2) !== 0n;
    const entryBytes = isExtended ? 16 : 8;
    const perTable = this.clusterSize / entryBytes;
    const table = this.uint64(this.l1Entry(Math.floor(cluster / perTable))) & 0x00fffffffffffe00n;
    if (table === 0n) throw new Error(`no L2 table maps offset ${guestOffset}`);
    return Number(table) + (cluster % perTable) * entryBytes;
  }

  #read(offset: number, length: number): bigint {
    const buffer = new Uint8Array(length);
    this.bytes.read(offset, buffer);
    return buffer.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }

  #write(offset: number, length: number, value: bigint): this {
    const buffer = Uint8Array.from({ length }, (_byte, index) =>
      Number((value >> BigInt(8 * (length - 1 - index))) & 255n),
    );
    this.bytes.write(offset, buffer);
    return this;
  }
}

export interface OpenedImage {
  readonly image: FormatImage;
  readonly file: EventChild;
}

/** Opens an image without a graph. @param options the driver's open options */
export async function openImage(
  storage: Storage,
  options: Readonly<Record<string, unknown>> = {},
  flags: Partial<OpenFlags> = {},
): Promise<OpenedImage> {
  const file = new EventChild(storage, await storage.getLength());
  const image = await startAsync(
    qcow2.open({
      nodeName: 'image',
      file,
      options: parseOptions(qcow2.openOptions, options, "format 'qcow2'"),
      flags: { readOnly: false, ...flags },
      openReference: () => {
        throw new Error('qcow2 asked for a file');
      },
      secret: (id) => {
        throw new Error(`qcow2 asked for the secret '${id}'`);
      },
      compression: portableCompression,
    }),
  );
  return { image, file };
}

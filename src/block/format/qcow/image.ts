import { start, type Co, type MaybePromise } from '../../co.ts';
import type { Compressor } from '../../compression.ts';
import { EncryptedChild } from '../../crypto/encrypted-child.ts';
import type { VolumeCipher } from '../../crypto/locked.ts';
import {
  BYTE_LIMITS,
  type Allocation,
  type BlockChild,
  type BlockLimits,
  type FileReference,
  type FormatImage,
  type FormatInfo,
} from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { backingExtent, dataExtent, encodedExtent, type Extent } from '../../extent.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { CompressedClusters } from './compressed.ts';
import type { QcowTables } from './tables.ts';

/** An allocation covers this many bytes at most: its clusters lie in a row behind the end of the file. */
const MAX_ALLOCATION = 2 ** 20;

export interface QcowParts {
  readonly tables: QcowTables;
  readonly readOnly: boolean;
  /** Undefined: the image is not encrypted. */
  readonly cipher: VolumeCipher | undefined;
  readonly compressor: Compressor;
}

/** An opened qcow image. It has no entry for zeroes: over a backing file they are written as data. */
export class QcowImage implements FormatImage {
  readonly limits: BlockLimits;
  readonly allocationUnit: number;
  readonly hasZeroInit = true;
  readonly #tables: QcowTables;
  readonly #readOnly: boolean;
  readonly #cipher: VolumeCipher | undefined;
  readonly #compressed: CompressedClusters;
  readonly #clusterSize: number;

  constructor({ tables, readOnly, cipher, compressor }: QcowParts) {
    this.#tables = tables;
    this.#readOnly = readOnly;
    this.#cipher = cipher;
    this.#compressed = new CompressedClusters(tables, compressor);
    this.#clusterSize = tables.clusterSize;
    this.allocationUnit = tables.clusterSize;
    // Sectors are encrypted whole.
    this.limits = { ...BYTE_LIMITS, requestAlignment: cipher === undefined ? 1 : SECTOR_SIZE };
  }

  get virtualSize(): number {
    return this.#tables.header.size;
  }

  get backing(): FileReference | undefined {
    const { backingFilename } = this.#tables.header;
    return backingFilename === undefined ? undefined : { filename: backingFilename };
  }

  map(offset: number, length: number): MaybePromise<Extent> {
    const slice = this.#sliceAt(offset);
    const slot = this.#tables.l2.lookup(slice);
    if (slot >= 0) return this.#mapSlot(slot, offset, length);
    const missing = this.#tables.missing(offset, length);
    return missing > 0 ? backingExtent(missing) : start(this.#load(slice, offset, length));
  }

  #sliceAt(offset: number): number {
    return this.#tables.sliceOf(Math.floor(offset / this.#clusterSize));
  }

  *#load(slice: number, offset: number, length: number): Co<Extent> {
    const slot = yield* this.#tables.l2.load(slice);
    if (slot >= 0) return this.#mapSlot(slot, offset, length);
    // The image was emptied while the slice was being read.
    return backingExtent(this.#tables.missing(offset, length));
  }

  /** One extent: clusters of the same kind in a row, data also in a row in the file, compressed ones one by one. */
  #mapSlot(slot: number, offset: number, length: number): Extent {
    const clusterSize = this.#clusterSize;
    const inCluster = offset % clusterSize;
    const { entriesPerSlice } = this.#tables;
    const index = Math.floor(offset / clusterSize) % entriesPerSlice;
    const guest = offset - inCluster;
    const { hostOffset, compressedLength } = this.#tables.entry(slot, index, guest);
    if (compressedLength > 0) return encodedExtent(Math.min(length, clusterSize - inCluster), 'compressed');
    const step = hostOffset === 0 ? 0 : clusterSize;
    const wanted = Math.min(Math.ceil((inCluster + length) / clusterSize), entriesPerSlice - index);
    let run = 1;
    while (run < wanted && this.#continues(slot, index + run, guest + run * clusterSize, hostOffset + run * step)) {
      run++;
    }
    const covered = Math.min(length, run * clusterSize - inCluster);
    if (hostOffset === 0) return backingExtent(covered);
    return dataExtent(this.#dataChild(hostOffset, guest), hostOffset + inCluster, covered, true);
  }

  #continues(slot: number, index: number, guest: number, expected: number): boolean {
    const { hostOffset, compressedLength } = this.#tables.entry(slot, index, guest);
    return compressedLength === 0 && hostOffset === expected;
  }

  /** Vectors are counted from where a sector is on the disk. */
  #dataChild(hostOffset: number, guestOffset: number): BlockChild {
    const { file } = this.#tables;
    return this.#cipher === undefined ? file : new EncryptedChild(file, this.#cipher, guestOffset - hostOffset);
  }

  allocate(offset: number, length: number): MaybePromise<Allocation> {
    return start(this.#tables.lock.run(() => this.#allocate(offset, length)));
  }

  *#allocate(offset: number, length: number): Co<Allocation> {
    const clusterSize = this.#clusterSize;
    const slot = yield* this.#tables.slotForWriting(this.#sliceAt(offset));
    const covered = this.#mapSlot(slot, offset, Math.min(length, MAX_ALLOCATION)).length;
    const copyBefore = offset % clusterSize;
    const clusters = Math.ceil((copyBefore + covered) / clusterSize);
    const host = this.#tables.take(clusters);
    const guest = offset - copyBefore;
    return {
      child: this.#dataChild(host, guest),
      hostOffset: host + copyBefore,
      length: covered,
      copyBefore,
      copyAfter: clusters * clusterSize - copyBefore - covered,
      // All of it is written: what is encrypted is not zero, and a file that ends inside a cluster was cut off.
      zeroed: false,
      commit: () => start(this.#tables.lock.run(() => this.#publish(guest, clusters, host))),
      abort: () => {
        // Space behind the end that nothing leads to: it can only be left.
      },
    };
  }

  *#publish(guest: number, clusters: number, host: number): Co<void> {
    const slot = yield* this.#tables.slotForWriting(this.#sliceAt(guest));
    const first = Math.floor(guest / this.#clusterSize) % this.#tables.entriesPerSlice;
    for (let index = 0; index < clusters; index++) {
      this.#tables.setEntry(slot, first + index, host + index * this.#clusterSize);
    }
  }

  readEncoded(offset: number, buffer: Uint8Array): MaybePromise<void> {
    return this.#compressed.read(offset, buffer);
  }

  writeEncoded(offset: number, data: Uint8Array): MaybePromise<void> {
    if (this.#cipher !== undefined) {
      throw new BlockError('unsupported', 'Compression and encryption not supported at the same time');
    }
    return start(this.#writeEncoded(offset, data));
  }

  *#writeEncoded(offset: number, data: Uint8Array): Co<void> {
    for (let done = 0; done < data.length; done += this.#clusterSize) {
      yield* this.#compressed.write(offset + done, data.subarray(done, done + this.#clusterSize));
    }
  }

  makeEmpty(): MaybePromise<void> {
    return start(this.#tables.lock.run(() => this.#makeEmpty()));
  }

  *#makeEmpty(): Co<void> {
    yield* this.#tables.makeEmpty();
    // What is written next goes where other bytes were.
    this.#compressed.forget();
  }

  info(): FormatInfo {
    const { backing } = this;
    return {
      format: 'qcow',
      virtualSize: this.virtualSize,
      clusterSize: this.#clusterSize,
      ...(backing === undefined ? {} : { backingFilename: backing.filename }),
      ...(this.#cipher === undefined ? {} : { encrypted: true }),
      specific: {},
    };
  }

  flush(): MaybePromise<void> {
    if (!this.#readOnly) return start(this.#tables.lock.run(() => this.#tables.writeBack()));
  }

  close(): MaybePromise<void> {
    return this.flush();
  }
}

/**
 * A new, empty qcow2 image: header, refcount table, refcount blocks and L1 table as qemu-img lays them out, and with
 * preallocation the L2 tables and the data's clusters behind them. The header is written last: a file whose creation was cut
 * off is not an image.
 *
 * Source: qcow2 specification, "General", "Header", "Host cluster management", "Cluster mapping".
 */
import { settle, type Co } from '../../co.ts';
import type { BlockChild, CreateContext, Progress } from '../../driver.ts';
import { reserveZeroes } from '../shared/reserve.ts';
import { TimeSlice } from '../../time-slice.ts';
import { checkCreateOptions, type CreateOptions, type CreateParameters } from './create-options.ts';
import { createLuks, headerAreaBytes } from '../../crypto/luks/create.ts';
import { passphraseOf } from '../../crypto/passphrase.ts';
import { encodePointer, headerArea, type HeaderPlace } from './encryption.ts';
import { featureNameTable, type HeaderExtension } from './extensions.ts';
import { encodeHeader, placeBackingFile, type Qcow2Header } from './header.ts';
import {
  AUTOCLEAR_RAW_DATA_FILE,
  COMPATIBLE_LAZY_REFCOUNTS,
  COMPRESSION_ZSTD,
  CRYPT_AES,
  CRYPT_LUKS,
  CRYPT_NONE,
  ENTRY_COPIED,
  ENTRY_LENGTH,
  EXTENDED_ENTRY_LENGTH,
  EXTENSION,
  HEADER_LENGTH_V2,
  HEADER_LENGTH_V3,
  HEADER_LENGTH_WRITTEN,
  INCOMPATIBLE_COMPRESSION,
  INCOMPATIBLE_DATA_FILE,
  INCOMPATIBLE_EXTENDED_L2,
  L2_ZERO,
  SUBCLUSTERS,
} from './layout.ts';
import { allSubclusters } from './l2-entry.ts';
import { refcountSizes } from './measure.ts';
import { refcountValues } from './refcount-values.ts';

/** Where everything goes. In clusters from the start of the file, in this order. */
interface CreateLayout {
  readonly tableCluster: number;
  readonly tableClusters: number;
  readonly firstBlock: number;
  readonly blocks: number;
  readonly l1Cluster: number;
  readonly l1Clusters: number;
  /** The encryption header with its key slots, if there is one. */
  readonly luksCluster: number;
  readonly luksClusters: number;
  /** L2 tables and data, if they are preallocated. Data may be in another file, from its cluster 0 on. */
  readonly l2Cluster: number;
  readonly l2Tables: number;
  readonly dataCluster: number;
  readonly dataClusters: number;
  /** Clusters in all, of the image's own file. */
  readonly end: number;
}

/** The entry of a table that leads to nothing. */
const NOWHERE = -1;
/** The second half of an extended entry that says that all subclusters are data. */
const ALL_STORED = -2;

/** Bytes that are written at once. */
const CHUNK_BYTES = 1024 * 1024;

/**
 * Writes an empty image. What the file held before is dropped. Everything is flushed when it returns.
 *
 * @throws BlockError `invalid` for options that contradict each other or sizes that the format cannot hold; what the storage
 *   throws
 */
export function* create(file: BlockChild, options: CreateOptions, context: CreateContext): Co<void> {
  const parameters = checkCreateOptions(options);
  const { encryption } = parameters;
  const passphrase =
    encryption === undefined ? undefined : passphraseOf(context.secret, encryption.keySecret, 'encrypt.key-secret');
  const layout = planLayout(parameters);
  const header = encodeHeader(placeBackingFile(makeHeader(options, parameters, layout)));
  if (file.length > 0) {
    // An older image's header must be gone for good before tables are written where it thinks that its own are.
    yield* settle(file.truncate(0));
    yield* settle(file.flush());
  }
  const dataFile = yield* createDataFile(parameters, context);
  const writer = new TableWriter(file, dataFile, parameters, layout, context.progress);
  yield* writer.writeRefcounts();
  yield* writer.writeL1();
  if (encryption?.luks !== undefined) {
    yield* createLuks(headerArea(file, luksPlace(parameters, layout)), encryption.luks, passphrase!);
    // The empty key slots belong to the file too.
    yield* settle(file.truncate((layout.luksCluster + layout.luksClusters) * parameters.clusterSize));
  }
  if (parameters.preallocated) yield* writer.writeL2();
  yield* writer.reserveData(options.preallocation);
  if (dataFile !== undefined) yield* settle(dataFile.flush());
  yield* settle(file.flush());
  const cluster = new Uint8Array(parameters.clusterSize);
  cluster.set(header);
  yield* settle(file.write(0, cluster));
  yield* settle(file.flush());
}

/** An external data file holds zeroes at first, and whole clusters if the tables lead to them. */
function* createDataFile(
  { clusterSize, dataFile, preallocated, size }: CreateParameters,
  { createFile }: CreateContext,
): Co<BlockChild | undefined> {
  if (dataFile === undefined) return undefined;
  return yield* createFile(dataFile, preallocated ? Math.ceil(size / clusterSize) * clusterSize : size);
}

function planLayout({
  size,
  clusterSize,
  refcountBits,
  l1Entries,
  preallocated,
  dataFile,
  encryption,
}: CreateParameters): CreateLayout {
  const l1Clusters = Math.ceil((l1Entries * ENTRY_LENGTH) / clusterSize);
  const dataClusters = preallocated ? Math.ceil(size / clusterSize) : 0;
  const ownDataClusters = dataFile === undefined ? dataClusters : 0;
  const l2Tables = preallocated ? l1Entries : 0;
  const luksClusters =
    encryption?.luks === undefined ? 0 : Math.ceil(headerAreaBytes(encryption.luks.cipher) / clusterSize);
  const counted = 1 + l1Clusters + luksClusters + l2Tables + ownDataClusters;
  const { tableClusters, blocks } = refcountSizes(counted, clusterSize, refcountBits);
  const firstBlock = 1 + tableClusters;
  const l1Cluster = firstBlock + blocks;
  const luksCluster = l1Cluster + l1Clusters;
  const l2Cluster = luksCluster + luksClusters;
  const firstDataCluster = l2Cluster + l2Tables;
  const end = firstDataCluster + ownDataClusters;
  return {
    tableCluster: 1,
    tableClusters,
    firstBlock,
    blocks,
    l1Cluster,
    l1Clusters,
    luksCluster,
    luksClusters,
    l2Cluster,
    l2Tables,
    dataCluster: dataFile === undefined ? firstDataCluster : 0,
    dataClusters,
    end,
  };
}

/** Bytes, as the extension says them: the last cluster need not be full. */
function luksPlace({ clusterSize, encryption }: CreateParameters, { luksCluster }: CreateLayout): HeaderPlace {
  return { offset: luksCluster * clusterSize, length: headerAreaBytes(encryption!.luks!.cipher) };
}

function cryptMethod({ encryption }: CreateParameters): number {
  return encryption === undefined ? CRYPT_NONE : encryption.luks === undefined ? CRYPT_AES : CRYPT_LUKS;
}

function makeHeader(options: CreateOptions, parameters: CreateParameters, layout: CreateLayout): Qcow2Header {
  const { version, clusterSize, l1Entries } = parameters;
  const encoder = new TextEncoder();
  const headerLength = version === 2 ? HEADER_LENGTH_V2 : HEADER_LENGTH_WRITTEN;
  const extensions: HeaderExtension[] = [];
  if (options.backing_fmt !== undefined) {
    extensions.push({ type: EXTENSION.backingFormat, data: encoder.encode(options.backing_fmt) });
  }
  if (options.data_file !== undefined) {
    extensions.push({ type: EXTENSION.dataFile, data: encoder.encode(options.data_file) });
  }
  if (parameters.encryption?.luks !== undefined) {
    extensions.push({ type: EXTENSION.encryptionHeader, data: encodePointer(luksPlace(parameters, layout)) });
  }
  const names = version === 2 ? undefined : featureNameTable(clusterSize - headerLength);
  if (names !== undefined) extensions.push(names);
  return {
    version,
    backingFileName: options.backing_file === undefined ? undefined : encoder.encode(options.backing_file),
    backingFileOffset: 0,
    clusterBits: Math.log2(clusterSize),
    size: parameters.size,
    cryptMethod: cryptMethod(parameters),
    l1Size: l1Entries,
    l1TableOffset: l1Entries === 0 ? 0 : layout.l1Cluster * clusterSize,
    refcountTableOffset: layout.tableCluster * clusterSize,
    refcountTableClusters: layout.tableClusters,
    nbSnapshots: 0,
    snapshotsOffset: 0,
    incompatibleFeatures:
      (parameters.entryLength === EXTENDED_ENTRY_LENGTH ? INCOMPATIBLE_EXTENDED_L2 : 0n) |
      (options.data_file === undefined ? 0n : INCOMPATIBLE_DATA_FILE) |
      (options.compression_type === 'zstd' ? INCOMPATIBLE_COMPRESSION : 0n),
    compatibleFeatures: parameters.lazyRefcounts ? COMPATIBLE_LAZY_REFCOUNTS : 0n,
    autoclearFeatures: options.data_file_raw ? AUTOCLEAR_RAW_DATA_FILE : 0n,
    refcountOrder: Math.log2(parameters.refcountBits),
    headerLength,
    additionalFields: additionalFields(headerLength, options),
    extensions,
  };
}

/** What a header of version 3 has behind its fields: the compression type and padding. */
function additionalFields(headerLength: number, { compression_type: compression }: CreateOptions): Uint8Array {
  const fields = new Uint8Array(Math.max(0, headerLength - HEADER_LENGTH_V3));
  if (compression === 'zstd') fields[0] = COMPRESSION_ZSTD;
  return fields;
}

/** Writes tables in large pieces and tells how far it is. */
class TableWriter {
  readonly #file: BlockChild;
  readonly #dataFile: BlockChild | undefined;
  readonly #parameters: CreateParameters;
  readonly #layout: CreateLayout;
  readonly #progress: Progress | undefined;
  readonly #slice = new TimeSlice();
  /** Bytes written, of all that may have to be. */
  #done = 0;
  readonly #total: number;

  constructor(
    file: BlockChild,
    dataFile: BlockChild | undefined,
    parameters: CreateParameters,
    layout: CreateLayout,
    progress: Progress | undefined,
  ) {
    this.#file = file;
    this.#dataFile = dataFile;
    this.#parameters = parameters;
    this.#layout = layout;
    this.#progress = progress;
    const external = dataFile === undefined ? 0 : layout.dataClusters;
    this.#total = (layout.end + external) * parameters.clusterSize;
  }

  *writeRefcounts(): Co<void> {
    const { tableCluster, tableClusters, firstBlock, blocks, end } = this.#layout;
    const { clusterSize, refcountBits } = this.#parameters;
    yield* this.#writeEntries(tableCluster, tableClusters, (entry) =>
      entry < blocks ? (firstBlock + entry) * clusterSize : NOWHERE,
    );
    const values = refcountValues(refcountBits, clusterSize);
    for (let block = 0; block < blocks; block++) {
      const bytes = new Uint8Array(clusterSize);
      const view = new DataView(bytes.buffer);
      const counts = Math.min(values.perBlock, end - block * values.perBlock);
      for (let index = 0; index < counts; index++) values.set(view, index, 1);
      yield* this.#write((firstBlock + block) * clusterSize, bytes);
    }
  }

  *writeL1(): Co<void> {
    const { l1Cluster, l1Clusters, l2Cluster, l2Tables } = this.#layout;
    const { clusterSize } = this.#parameters;
    if (l2Tables === 0) {
      yield* this.#writeZeroes(l1Cluster, l1Clusters);
      return;
    }
    yield* this.#writeEntries(l1Cluster, l1Clusters, (entry) =>
      entry < l2Tables ? (l2Cluster + entry) * clusterSize : NOWHERE,
    );
  }

  *writeL2(): Co<void> {
    const { l2Cluster, l2Tables, dataCluster, dataClusters } = this.#layout;
    const { clusterSize, dataFileRaw, encryption, entryLength } = this.#parameters;
    // The second half of extended entries says that the space holds nothing yet, so that a backing file shows; or that all of it
    // is data, in a raw data file.
    const step = entryLength / ENTRY_LENGTH;
    // Bytes that were never written are zeroes, but not when they are decrypted: plain entries say that they read as zero.
    const flag = encryption !== undefined && step === 1 ? L2_ZERO : 0;
    yield* this.#writeEntries(l2Cluster, l2Tables, (word) => {
      const entry = Math.floor(word / step);
      if (entry >= dataClusters) return NOWHERE;
      if (word % step > 0) return dataFileRaw && encryption === undefined ? ALL_STORED : NOWHERE;
      return (dataCluster + entry) * clusterSize + flag;
    });
  }

  /** Makes the file reach as far as its clusters do, with zeroes that have their space if that is wanted. */
  *reserveData(mode: CreateOptions['preallocation']): Co<void> {
    const { dataCluster, dataClusters } = this.#layout;
    const { clusterSize } = this.#parameters;
    const file = this.#dataFile ?? this.#file;
    const offset = dataCluster * clusterSize;
    const length = dataClusters * clusterSize;
    if (mode === 'falloc' || mode === 'full') {
      yield* reserveZeroes(file, offset, length, mode, (bytes) => this.#report(bytes));
    } else if (dataClusters > 0 && file.length < offset + length) {
      yield* settle(file.truncate(offset + length));
    }
  }

  /** @param offsetOf where entry n of the table leads to, in bytes, or `NOWHERE` */
  *#writeEntries(cluster: number, clusters: number, offsetOf: (entry: number) => number): Co<void> {
    const { clusterSize } = this.#parameters;
    const entries = (clusters * clusterSize) / ENTRY_LENGTH;
    // Entries of the L1 and L2 tables say that their target may be written in place; those of the refcount table have no flags.
    const flags = cluster === this.#layout.tableCluster ? 0 : ENTRY_COPIED;
    const perChunk = CHUNK_BYTES / ENTRY_LENGTH;
    for (let first = 0; first < entries; first += perChunk) {
      const count = Math.min(perChunk, entries - first);
      const bytes = new Uint8Array(count * ENTRY_LENGTH);
      const view = new DataView(bytes.buffer);
      for (let index = 0; index < count; index++) {
        const offset = offsetOf(first + index);
        if (offset === ALL_STORED) view.setUint32(index * ENTRY_LENGTH + 4, allSubclusters(SUBCLUSTERS));
        if (offset < 0) continue;
        view.setUint32(index * ENTRY_LENGTH, Math.floor(offset / 2 ** 32) + flags);
        view.setUint32(index * ENTRY_LENGTH + 4, offset % 2 ** 32);
      }
      yield* this.#write(cluster * clusterSize + first * ENTRY_LENGTH, bytes);
    }
  }

  *#writeZeroes(cluster: number, clusters: number): Co<void> {
    if (clusters === 0) return;
    const { clusterSize } = this.#parameters;
    yield* settle(this.#file.writeZeroes(cluster * clusterSize, clusters * clusterSize));
  }

  *#write(offset: number, bytes: Uint8Array): Co<void> {
    yield* settle(this.#file.write(offset, bytes));
    this.#report(bytes.length);
    yield* this.#slice.pause();
  }

  #report(bytes: number): void {
    this.#done += bytes;
    this.#progress?.report(Math.min(this.#done, this.#total), this.#total);
  }
}

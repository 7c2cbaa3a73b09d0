/**
 * Checking a QED image: every entry must lead to a place where a table or a cluster can be, no two to the same one. Clusters that
 * nothing leads to are leaked. A repair takes out the entries that lead nowhere; what they led to is lost already.
 *
 * Source: QEMU, docs/interop/qed_spec.rst, "Consistency checking".
 */
import { settle, type Co } from '../../co.ts';
import type { CheckFix, CheckResult, Progress } from '../../driver.ts';
import { TimeSlice } from '../../time-slice.ts';
import { CheckFindings } from '../shared/check-findings.ts';
import { isClusterPlace, isTablePlace, tableEntries } from './header.ts';
import { ENTRY_LENGTH, ENTRY_ZERO } from './layout.ts';
import type { QedTables } from './tables.ts';

/** @returns the findings, and whether the tables were made sound: they wait to be written then */
export function* checkTables(
  tables: QedTables,
  fix: CheckFix,
  progress: Progress | undefined,
): Co<{ result: CheckResult; mended: boolean }> {
  const walk = new TableWalk(tables, fix);
  yield* walk.run(progress);
  return { result: walk.result(), mended: fix === 'all' && walk.findings.corruptions === 0 };
}

class TableWalk {
  readonly findings: CheckFindings;
  readonly #tables: QedTables;
  readonly #fileLength: number;
  /** One bit a cluster of the file. */
  readonly #used: Uint8Array;
  #allocated = 0;
  #fragmented = 0;
  #end = 0;

  constructor(tables: QedTables, fix: CheckFix) {
    const { clusterSize, headerSize, l1TableOffset, tableSize } = tables.header;
    this.findings = new CheckFindings(fix);
    this.#tables = tables;
    this.#fileLength = tables.file.length;
    this.#used = new Uint8Array(Math.ceil(Math.ceil(this.#fileLength / clusterSize) / 8));
    this.#use(0, headerSize);
    this.#use(l1TableOffset, tableSize);
  }

  *run(progress: Progress | undefined): Co<void> {
    const { header, l1Entries } = this.#tables;
    const slice = new TimeSlice();
    for (let index = 0; index < l1Entries; index++) {
      const offset = this.#tables.rawTableOffset(index);
      if (offset !== 0 && isTablePlace(header, offset, this.#fileLength)) {
        this.#use(offset, header.tableSize);
        yield* this.#walkTable(index, offset);
      } else if (offset !== 0) {
        this.#wrong(`L1 entry ${index} leads to ${offset}, where no L2 table can be`, offset);
        if (this.findings.fix === 'all') this.#tables.setTableOffset(index, 0);
      }
      progress?.report(index + 1, l1Entries);
      yield* slice.pause();
    }
    this.#countLeaks();
  }

  *#walkTable(l1Index: number, offset: number): Co<void> {
    const { file, header } = this.#tables;
    const bytes = new Uint8Array(header.tableSize * header.clusterSize);
    yield* settle(file.read(offset, bytes));
    const view = new DataView(bytes.buffer);
    const entries = tableEntries(header);
    let last = 0;
    for (let index = 0; index < entries; index++) {
      const at = index * ENTRY_LENGTH;
      const value = view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
      if (value <= ENTRY_ZERO) continue;
      this.#allocated++;
      if (last !== 0 && value !== last + header.clusterSize) this.#fragmented++;
      last = value;
      if (isClusterPlace(header, value, this.#fileLength)) {
        this.#use(value, 1);
        continue;
      }
      this.#wrong(`L2 entry ${index} of table ${l1Index} leads to ${value}, where no cluster can be`, value);
      if (this.findings.fix === 'all') yield* this.#clearEntry(l1Index * entries + index);
    }
  }

  #wrong(message: string, hostOffset: number): void {
    if (this.findings.fix === 'all') this.findings.fixed('corruption', message, hostOffset);
    else this.findings.corruption(message, hostOffset);
  }

  *#clearEntry(cluster: number): Co<void> {
    const { l2, entriesPerSlice } = this.#tables;
    const slot = yield* this.#tables.slotForWriting(this.#tables.sliceOf(cluster));
    const at = l2.start(slot) + (cluster % entriesPerSlice) * ENTRY_LENGTH;
    l2.view(slot).setUint32(at, 0, true);
    l2.view(slot).setUint32(at + 4, 0, true);
    l2.markDirty(slot);
  }

  #use(offset: number, clusters: number): void {
    const { clusterSize } = this.#tables.header;
    const first = offset / clusterSize;
    for (let cluster = first; cluster < first + clusters; cluster++) {
      const byte = Math.floor(cluster / 8);
      if (byte >= this.#used.length) break;
      const bit = 1 << (cluster % 8);
      if ((this.#used[byte]! & bit) !== 0) {
        this.findings.corruption(`Cluster at ${cluster * clusterSize} is used more than once`, cluster * clusterSize);
      }
      this.#used[byte]! |= bit;
      this.#end = Math.max(this.#end, (cluster + 1) * clusterSize);
    }
  }

  #countLeaks(): void {
    const { clusterSize } = this.#tables.header;
    const clusters = Math.floor(this.#fileLength / clusterSize);
    for (let cluster = 0; cluster < clusters; cluster++) {
      if ((this.#used[Math.floor(cluster / 8)]! & (1 << (cluster % 8))) !== 0) continue;
      this.findings.leak(`Leaked cluster at ${cluster * clusterSize}`, cluster * clusterSize);
    }
  }

  result(): CheckResult {
    const { imageSize, clusterSize } = this.#tables.header;
    return this.findings.result({
      imageEndOffset: this.#end,
      totalClusters: Math.ceil(imageSize / clusterSize),
      allocatedClusters: this.#allocated,
      fragmentedClusters: this.#fragmented,
    });
  }
}

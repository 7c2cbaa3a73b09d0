/**
 * Checking a sparse extent: each entry must lead into the file, as qemu-img checks it; no two to the same place, and each grain table
 * must be there.
 */
import { settle, type Co } from '../../co.ts';
import { TimeSlice } from '../../time-slice.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import type { CheckFindings } from '../shared/check-findings.ts';
import { ENTRY_LENGTH, ENTRY_ZERO } from './layout.ts';
import type { SparseTables } from './tables.ts';

/** @param diskOffset where the extent begins in the disk, for messages */
export function* checkSparse(tables: SparseTables, diskOffset: number, findings: CheckFindings): Co<void> {
  const { file, header } = tables;
  const { grainSize, entriesPerTable, entries, capacity, compressed, zeroedGrains } = header;
  // Grains that do not overlap begin in different units.
  const unit = compressed ? SECTOR_SIZE : grainSize;
  const used = new Uint8Array(Math.ceil(Math.ceil(file.length / unit) / 8));
  const slice = new TimeSlice();
  const bytes = new Uint8Array(entriesPerTable * ENTRY_LENGTH);
  const view = new DataView(bytes.buffer);
  for (let table = 0; table < entries; table++) {
    const place = tablePlace(tables, table, findings);
    if (place === 0) continue;
    yield* settle(file.read(place, bytes));
    const first = table * entriesPerTable;
    const count = Math.min(entriesPerTable, Math.ceil(capacity / grainSize) - first);
    for (let index = 0; index < count; index++) {
      const entry = view.getUint32(index * ENTRY_LENGTH, true);
      if (entry === 0 || (entry === ENTRY_ZERO && zeroedGrains)) continue;
      const sector = (diskOffset + (first + index) * grainSize) / SECTOR_SIZE;
      const hostOffset = entry * SECTOR_SIZE;
      if (hostOffset >= file.length || entry === ENTRY_ZERO) {
        findings.corruption(() => `ERROR: cluster offset after file size, for sector ${sector}`, hostOffset);
      } else if (isTaken(used, Math.floor(hostOffset / unit))) {
        findings.corruption(() => `ERROR: the grain for sector ${sector} is used more than once`, hostOffset);
      }
    }
    yield* slice.pause();
  }
}

function tablePlace(tables: SparseTables, table: number, findings: CheckFindings): number {
  try {
    return tables.tablePlace(table);
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    findings.corruption(() => `ERROR: could not get cluster offset: ${error.message}`);
    return 0;
  }
}

function isTaken(used: Uint8Array, unit: number): boolean {
  const byte = Math.floor(unit / 8);
  const bit = 1 << (unit % 8);
  const taken = (used[byte]! & bit) !== 0;
  used[byte]! |= bit;
  return taken;
}

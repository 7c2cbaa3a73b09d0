/**
 * Checking a VDI image: each entry of the block map must be in bounds, no two the same, and the header's count must be theirs.
 * QEMU's check finds the same; it repairs nothing.
 */
import type { CheckFix, CheckResult } from '../../driver.ts';
import { CheckFindings } from '../shared/check-findings.ts';
import type { NumberTable } from '../shared/table-bytes.ts';
import type { VdiHeader } from './header.ts';
import { BLOCK_SIZE, BLOCK_UNALLOCATED, BLOCK_ZERO } from './layout.ts';

/**
 * @param bmap repaired in memory: entries that lead nowhere, or to a block that an earlier entry has, are taken out
 * @returns the findings, and what the header's count should be
 */
export function checkBlocks(
  header: VdiHeader,
  bmap: NumberTable,
  fix: CheckFix,
): { readonly result: CheckResult; readonly count: number } {
  const findings = new CheckFindings(fix);
  const { blocksInImage } = header;
  const used = new Set<number>();
  let highest = -1;
  const wrong = (index: number, message: string): void => {
    if (fix !== 'all') return findings.corruption(message);
    findings.fixed('corruption', message);
    bmap.set(index, BLOCK_UNALLOCATED);
  };
  for (let index = 0; index < blocksInImage; index++) {
    const entry = bmap.get(index);
    if (entry >= BLOCK_ZERO) continue;
    if (entry >= blocksInImage) {
      wrong(index, `ERROR: block index ${index} out of range, is ${entry}`);
    } else if (used.has(entry)) {
      wrong(index, `ERROR: block index ${index} also used by ${entry}`);
    } else {
      used.add(entry);
      highest = Math.max(highest, entry);
    }
  }
  const count = highest + 1;
  checkCount(findings, header.blocksAllocated, used.size, count);
  // QEMU's check of VDI does not count clusters, and does not print them.
  const result = findings.result({ imageEndOffset: header.offsetData + count * BLOCK_SIZE });
  return { result, count };
}

/** A count that is too high only wastes space; one that is too low makes QEMU give a block out twice. */
function checkCount(findings: CheckFindings, counted: number, used: number, end: number): void {
  if (counted === used || counted === end) return;
  const message = `ERROR: allocated blocks mismatch, is ${used}, should be ${counted}`;
  if (counted > end) {
    if (findings.fix === 'none') findings.leak(message);
    else findings.fixed('leak', message);
  } else if (findings.fix === 'all') {
    findings.fixed('corruption', message);
  } else {
    findings.corruption(message);
  }
}

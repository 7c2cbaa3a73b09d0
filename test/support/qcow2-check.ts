/** Checking qcow2 files in tests, without a graph. */
import { startAsync } from '../../src/block/co.ts';
import type { CheckFix, CheckResult, Storage } from '../../src/block/driver.ts';
import { checkImage } from '../../src/block/format/qcow2/check.ts';
import { readHeader } from '../../src/block/format/qcow2/header.ts';
import { INCOMPATIBLE_DIRTY } from '../../src/block/format/qcow2/layout.ts';
import { SimulatedStorage } from './simulated-storage.ts';
import type { SparseBytes } from './sparse-bytes.ts';
import { StorageChild } from './storage-child.ts';

export interface CheckedFile {
  readonly result: CheckResult;
  /** It was not closed: its refcounts may be wrong until a repair at open. */
  readonly dirty: boolean;
}

export async function checkFile(content: SparseBytes): Promise<CheckedFile> {
  return checkStorage(new SimulatedStorage({ initial: content }), 'none');
}

export async function checkStorage(storage: Storage, fix: CheckFix): Promise<CheckedFile> {
  const child = new StorageChild(storage, await storage.getLength());
  const header = await startAsync(readHeader(child));
  const { result } = await startAsync(checkImage(child, header, fix));
  return { result, dirty: (header.incompatibleFeatures & INCOMPATIBLE_DIRTY) !== 0n };
}

/** @throws with the findings when an image is corrupt; @param leaks whether space may be lost */
export function expectSound({ result }: CheckedFile, what: string, leaks: 'allowed' | 'forbidden'): void {
  const bad = result.corruptions > 0 || result.checkErrors > 0 || (leaks === 'forbidden' && result.leaks > 0);
  if (!bad) return;
  const findings = result.findings.slice(0, 8).map(({ message }) => `\n  ${message}`);
  throw new Error(
    `${what}: ${result.corruptions} corruptions, ${result.leaks} leaks, ${result.checkErrors} errors${findings.join('')}`,
  );
}

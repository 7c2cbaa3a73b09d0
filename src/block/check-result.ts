/** What a check of an image finds. Findings are results, not errors. */

export type CheckFix = 'none' | 'leaks' | 'all';

export interface CheckFinding {
  readonly kind: 'corruption' | 'leak' | 'error';
  /** In qemu-img's words where it has words for it. */
  readonly message: string;
  readonly hostOffset?: number;
  readonly fixed: boolean;
}

/** QEMU: BdrvCheckResult and ImageCheck. */
export interface CheckResult {
  readonly corruptions: number;
  readonly leaks: number;
  readonly checkErrors: number;
  readonly corruptionsFixed: number;
  readonly leaksFixed: number;
  /** Bytes: where the last used cluster ends in the file. */
  readonly imageEndOffset: number;
  readonly totalClusters: number;
  readonly allocatedClusters: number;
  readonly fragmentedClusters: number;
  readonly compressedClusters: number;
  /** The first ones; there is a limit. The counts above are complete. */
  readonly findings: readonly CheckFinding[];
}

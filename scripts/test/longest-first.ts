/**
 * The order of test files: those that take longest go first, so that no worker is left with one of them when the other has nothing to
 * do. Vitest itself goes by what it remembers of earlier runs, and in a fresh clone by the size of files, which says little here.
 */
import { relative } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The longest first, of both tiers. Files that are not here come after them. */
export const LONGEST: readonly string[] = [
  // Slow tier.
  'test/simulation/qcow2-model.slow.test.ts',
  'test/fuzz/qcow2-fuzz.slow.test.ts',
  'test/fuzz/qcow2-fuzz-more.slow.test.ts',
  'test/emulator/v86/guest.slow.test.ts',
  'test/simulation/formats.slow.test.ts',
  'test/fuzz/formats.slow.test.ts',
  'test/fuzz/formats-more.slow.test.ts',
  'test/simulation/qcow2-power-cut.slow.test.ts',
  'test/simulation/qcow2-nth-failure.slow.test.ts',
  'test/guest/boot.slow.test.ts',
  'test/simulation/qcow2-bitmaps.slow.test.ts',
  'test/guest/build.slow.test.ts',
  // Quick tier.
  'test/simulation/formats.test.ts',
  'test/simulation/qcow2-power-cut.test.ts',
  'test/simulation/qcow2-model.test.ts',
  'test/simulation/qcow2-nth-failure.test.ts',
  'test/simulation/qcow2-bitmaps.test.ts',
  'test/fuzz/formats.test.ts',
  'test/fuzz/qcow2-fuzz.test.ts',
  'test/block/protocol/http-in-browser.test.ts',
  'test/interop/qcow2-check.test.ts',
  'test/interop/qcow2-amend.test.ts',
  'test/interop/formats.test.ts',
  'test/interop/qcow2-compressed.test.ts',
  'test/interop/cli-formats.test.ts',
  'test/interop/qcow2-power-cut.test.ts',
];

export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const { root } = this.ctx.config;
    const place = ({ moduleId }: TestSpecification): number => {
      const index = LONGEST.indexOf(relative(root, moduleId).replaceAll('\\', '/'));
      return index < 0 ? LONGEST.length : index;
    };
    // oxlint-disable-next-line unicorn/no-array-sort -- vitest's own method, no array's
    const sorted = await super.sort(files);
    return sorted.toSorted((one, other) => place(one) - place(other));
  }
}

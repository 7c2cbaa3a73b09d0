/** A table of command lines as a suite: each is run through both tools, in copies of the same folder of images. */
import { afterAll, beforeAll, test } from 'vitest';
import { makeCliFixture } from './cli-fixture.ts';
import { compareTools, tableLines } from './cli-table.ts';
import { describeWithQemu, TemporaryFolder } from './qemu.ts';

/** @param table see `tableLines`. @param prepare fills the folder */
export function describeCommands(
  title: string,
  table: string,
  prepare: (folder: string) => Promise<void> = makeCliFixture,
): void {
  describeWithQemu(title, () => {
    const fixture = new TemporaryFolder();
    const work = new TemporaryFolder();
    beforeAll(() => prepare(fixture.path));
    afterAll(() => {
      fixture[Symbol.dispose]();
      work[Symbol.dispose]();
    });

    test.each(tableLines(table))('%s', async (_, line) => {
      await compareTools(fixture.path, work.path, line);
    });
  });
}

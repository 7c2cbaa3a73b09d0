// VHDX logs beside QEMU: those that a power cut leaves of ours, and those that are made by hand, replayed by both to the same file.
import { expect, it } from 'vitest';
import { vhdx } from '../../src/block/format/vhdx/driver.ts';
import { runPowerCuts } from '../simulation/power-cuts.ts';
import { describeWithQemu, qemuCheck, qemuImg, runTool, TemporaryFolder } from '../support/qemu.ts';
import { equalBytes } from '../support/random.ts';
import { LastingStorage, openDisk } from '../support/scenario.ts';
import { subjectOf, testedFormats } from '../support/tested-formats.ts';
import { BAT, batSector, DATA, LOG, METADATA, MiB, VhdxFile, type Entry } from '../support/vhdx-file.ts';

const SECTOR = 4096;
const STRIDE = 25;

async function replayedByUs(bytes: Uint8Array): Promise<{ file: Uint8Array; disk: Uint8Array }> {
  const storage = new LastingStorage({ initial: bytes });
  const { graph, disk } = await openDisk(vhdx, storage);
  const content = new Uint8Array(disk.length);
  await disk.read(0, content);
  await graph.close(disk);
  return { file: storage.content.toBytes(), disk: content };
}

describeWithQemu('VHDX logs', () => {
  it('that a power cut leaves are replayed by QEMU to what they are replayed to here', async () => {
    using folder = new TemporaryFolder();
    const subject = subjectOf(testedFormats.find(({ driver }) => driver === vhdx)!);
    let dirty = 0;
    const onCut = async (content: { toBytes(): Uint8Array }, what: string): Promise<void> => {
      const bytes = content.toBytes();
      const path = folder.write('disk', bytes);
      const { counts, stderr } = await qemuCheck(path, 'vhdx', 'all');
      if (counts === undefined || counts['check-errors'] + (counts.corruptions ?? 0) > 0)
        throw new Error(`${what}: ${stderr}`);
      dirty += counts['corruptions-fixed'] ?? 0;
      await qemuImg('convert', '-f', 'vhdx', '-O', 'raw', path, folder.file('raw'));
      const ours = await replayedByUs(bytes);
      if (!equalBytes(folder.read('raw').subarray(0, ours.disk.length), ours.disk))
        throw new Error(`${what}: QEMU reads something else`);
    };
    for (const seed of [1, 2, 3]) await runPowerCuts(subject, seed, { onCut, stride: STRIDE });
    expect(dirty).toBeGreaterThan(0);
  });

  const first = { at: BAT, data: batSector(4) };
  const second = { at: BAT, data: batSector(4, 5) };
  const marked = { at: DATA + 8192, data: new Uint8Array(SECTOR).map((_, index) => index % 251) };

  it.each([
    ['one entry', [{ position: 0, sequence: 1, changes: [first, marked] }], undefined],
    ['zeroes', [{ position: 0, sequence: 1, changes: [first, { at: DATA, zeroes: 2 * SECTOR }] }], undefined],
    [
      'two entries',
      [
        { position: 0, sequence: 7, changes: [first, marked] },
        { position: 3 * SECTOR, sequence: 8, tail: 0, changes: [second] },
      ],
      undefined,
    ],
    [
      'a newest entry that is torn',
      [{ position: 0, sequence: 7, changes: [first, marked] }],
      { position: 3 * SECTOR, sequence: 8, tail: 0, changes: [second] },
    ],
    [
      'an end that is gone around',
      [
        { position: MiB - 3 * SECTOR, sequence: 1, changes: [first] },
        { position: MiB - SECTOR, sequence: 2, tail: MiB - 3 * SECTOR, changes: [second] },
      ],
      undefined,
    ],
  ] as const satisfies readonly (readonly [string, readonly Entry[], Entry | undefined])[])(
    'made by hand, with %s, are replayed to the same file',
    async (_name, entries, torn) => {
      using folder = new TemporaryFolder();
      const bytes = new Uint8Array(DATA + 4 * MiB).fill(3, DATA);
      bytes.set((await VhdxFile.create()).bytes);
      const file = new VhdxFile(bytes).openLog();
      for (const entry of entries) file.log(entry);
      if (torn !== undefined) file.tornLog(torn);
      const path = folder.write('disk', file.bytes);
      expect((await runTool('qemu-img', ['info', '-f', 'vhdx', path])).stderr).toContain(
        'contains a log that needs to be replayed',
      );
      const { counts, stderr } = await qemuCheck(path, 'vhdx', 'all');
      expect(counts, stderr).toMatchObject({ 'corruptions-fixed': 1, 'check-errors': 0 });
      const ours = await replayedByUs(file.bytes);
      const theirs = folder.read('disk');
      // The headers and the log are each one's own affair.
      expect(equalBytes(theirs.subarray(METADATA), ours.file.subarray(METADATA))).toBe(true);
      expect(LOG).toBeLessThan(METADATA);
    },
  );
});

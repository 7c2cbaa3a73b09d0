import { expect, it } from 'vitest';
import { amendSubject, bitmapSubject } from '../support/qcow2-bitmap-subject.ts';
import {
  compressedSubject,
  emptiedSubject,
  extendedL2Subject,
  oldSnapshotSubject,
  qcow2Subject,
  snapshotStepsSubject,
  snapshotSubject,
} from '../support/qcow2-scenario.ts';
import { runPowerCuts } from '../simulation/power-cuts.ts';
import { decodeHeader } from '../../src/block/format/qcow2/header.ts';
import { INCOMPATIBLE_DIRTY } from '../../src/block/format/qcow2/layout.ts';
import { describeWithQemu, qemuCheck, TemporaryFolder } from '../support/qemu.ts';
import { Random } from '../support/random.ts';
import type { SparseBytes } from '../support/sparse-bytes.ts';

/** Of all files that power cuts leave, this part is shown to qemu-img too. */
const SAMPLE = 0.04;

/** @throws when qemu-img finds corruption. An image that says that it was not closed is repaired by it first, as QEMU does at open. */
async function expectSoundForQemu(folder: TemporaryFolder, content: SparseBytes): Promise<void> {
  const bytes = content.toBytes();
  const path = folder.write('cut.qcow2', bytes);
  const header = decodeHeader(bytes, bytes.length);
  const dirty = ((header?.incompatibleFeatures ?? 0n) & INCOMPATIBLE_DIRTY) !== 0n;
  if (dirty) await qemuCheck(path, 'qcow2', 'all');
  const { counts, stderr } = await qemuCheck(path, 'qcow2');
  if (counts === undefined) throw new Error(`qemu-img refuses the image: ${stderr}`);
  if ((counts.corruptions ?? 0) + counts['check-errors'] > 0) throw new Error(`qemu-img finds corruption: ${stderr}`);
}

const cases = [
  ...[101, 102, 103, 104, 105].map((seed) => ({ subject: qcow2Subject, seed })),
  ...[extendedL2Subject, snapshotSubject, compressedSubject, bitmapSubject, amendSubject].flatMap((subject) =>
    [111, 112].map((seed) => ({ subject, seed })),
  ),
  { subject: emptiedSubject, seed: 111 },
  { subject: oldSnapshotSubject, seed: 111 },
  { subject: snapshotStepsSubject, seed: 111 },
].map((one) => ({ ...one, name: one.subject.name }));

describeWithQemu('qcow2 images after power cuts', () => {
  it.each(cases)('are sound for qemu-img too: $name, seed $seed', async ({ subject, seed }) => {
    using folder = new TemporaryFolder();
    // The tables are checked, not the contents: any backing file will do.
    folder.write('base', new Uint8Array(512));
    const random = new Random(seed);
    let looked = 0;
    await runPowerCuts(subject, seed, {
      stride: 2,
      onCut: async (content) => {
        if (looked > 0 && !random.chance(SAMPLE)) return;
        await expectSoundForQemu(folder, content);
        looked++;
      },
    });
    expect(looked).toBeGreaterThan(1);
  });
});

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
import { expectSoundForQemu } from '../support/qcow2-cut-check.ts';
import { describeWithQemu, TemporaryFolder } from '../support/qemu.ts';
import { Random } from '../support/random.ts';

/** Of all files that power cuts leave, this part is shown to qemu-img too. */
const SAMPLE = 0.04;

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

import { expect, it } from 'vitest';
import { qcow2Subject } from '../support/qcow2-scenario.ts';
import { runPowerCuts } from '../simulation/power-cuts.ts';
import { decodeHeader } from '../../src/block/format/qcow2/header.ts';
import { INCOMPATIBLE_DIRTY } from '../../src/block/format/qcow2/layout.ts';
import { describeWithQemu, qemuCheck, TemporaryFolder } from '../support/qemu.ts';
import { Random } from '../support/random.ts';
import type { SparseBytes } from '../support/sparse-bytes.ts';

/** Of all files that power cuts leave, this part is shown to qemu-img too. */
const SAMPLE = 0.04;

/** @throws when qemu-img finds corruption. An image that was not closed is repaired by it first, as QEMU does at open. */
async function expectSoundForQemu(folder: TemporaryFolder, content: SparseBytes): Promise<void> {
  const bytes = content.toBytes();
  const path = folder.write('cut.qcow2', bytes);
  const features = decodeHeader(bytes, bytes.length)?.incompatibleFeatures ?? 0n;
  if ((features & INCOMPATIBLE_DIRTY) !== 0n) await qemuCheck(path, 'qcow2', 'all');
  const { counts, stderr } = await qemuCheck(path, 'qcow2');
  if (counts === undefined) throw new Error(`qemu-img refuses the image: ${stderr}`);
  if ((counts.corruptions ?? 0) + counts['check-errors'] > 0) throw new Error(`qemu-img finds corruption: ${stderr}`);
}

describeWithQemu('qcow2 images after power cuts', () => {
  it.each([101, 102, 103, 104, 105])('are sound for qemu-img too: seed %i', async (seed) => {
    using folder = new TemporaryFolder();
    // The tables are checked, not the contents: any backing file will do.
    folder.write('base', new Uint8Array(512));
    const random = new Random(seed);
    let looked = 0;
    await runPowerCuts(qcow2Subject, seed, {
      onCut: async (content) => {
        if (looked > 0 && !random.chance(SAMPLE)) return;
        await expectSoundForQemu(folder, content);
        looked++;
      },
    });
    expect(looked).toBeGreaterThan(1);
  });
});

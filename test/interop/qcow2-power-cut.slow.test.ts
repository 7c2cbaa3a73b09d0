/** All that power cuts leave of an image of version 2, which has no dirty bit to excuse it, shown to qemu-img. */
import { expect, it } from 'vitest';
import { runPowerCuts } from '../simulation/power-cuts.ts';
import { expectSoundForQemu } from '../support/qcow2-cut-check.ts';
import { snapshotStepsSubject } from '../support/qcow2-scenario.ts';
import { describeWithQemu, TemporaryFolder } from '../support/qemu.ts';

describeWithQemu('snapshots of version 2 made, applied and deleted', () => {
  it('leave nothing at any power cut that qemu-img calls corrupt', async () => {
    using folder = new TemporaryFolder();
    folder.write('base', new Uint8Array(512));
    const onCut = (content: Parameters<typeof expectSoundForQemu>[1]) => expectSoundForQemu(folder, content);
    expect((await runPowerCuts(snapshotStepsSubject, 2, { onCut }))['cuts']).toBeGreaterThan(400);
  });
});

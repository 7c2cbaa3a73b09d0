import { describe, expect, it } from 'vitest';
import { parallels } from '../../../../src/block/format/parallels/driver.ts';
import { vdi } from '../../../../src/block/format/vdi/driver.ts';
import { vpc } from '../../../../src/block/format/vpc/driver.ts';
import { equalBytes, patternedBytes } from '../../../support/random.ts';
import { LastingStorage, makeImage, openDisk } from '../../../support/scenario.ts';
import { SimulatedStorage } from '../../../support/simulated-storage.ts';

const MiB = 2 ** 20;

describe.each([
  { driver: vdi, options: {} },
  { driver: vpc, options: { force_size: 'on' } },
  { driver: parallels, options: { cluster_size: MiB } },
])('$driver.name', ({ driver, options }) => {
  it('gives what is left of a block that the end of the file cuts, and never zeroes for the rest', async () => {
    const storage = new LastingStorage({ initial: await makeImage(driver, { size: 4 * MiB, ...options }) });
    const written = await openDisk(driver, storage);
    await written.disk.write(0, patternedBytes(1, 0, MiB).slice());
    await written.graph.close(written.disk);

    const whole = storage.content.toBytes();
    const cut = new SimulatedStorage({ initial: whole.slice(0, whole.length - MiB / 2 - 512), readOnly: true });
    const { graph, disk } = await openDisk(driver, cut, { 'read-only': true });
    const found = new Uint8Array(4096);
    await disk.read(0, found);
    expect(equalBytes(found, patternedBytes(1, 0, 4096))).toBe(true);
    const last = driver === vpc ? 2 * MiB - 4096 : MiB - 4096;
    await expect((async () => disk.read(last, found))()).rejects.toMatchObject({ kind: 'corrupt' });
    await graph.close(disk);
  });
});

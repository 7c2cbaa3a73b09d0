import { expect, it } from 'vitest';
import type { BlockBackend } from '../../src/block/graph/backend.ts';
import { describeWithQemu, qemuImg, qemuIo, runTool, TemporaryFolder } from '../support/qemu.ts';
import { Qcow2File, target } from '../support/qcow2-damage.ts';
import { openQcow2 } from '../support/qcow2-session.ts';
import { LastingStorage } from '../support/scenario.ts';

const COPIED = 1n << 63n;

/** Places that a data cluster may be said to have, by the name that QEMU has for them. */
const places: Readonly<Record<string, (file: Qcow2File) => number>> = {
  'refcount table': (file) => file.refcountTableOffset,
  'refcount block': (file) => target(file.entry(file.refcountTableOffset)),
  'active L1 table': (file) => file.l1Offset,
  'active L2 table': (file) => target(file.entry(file.l1Offset)),
  'snapshot table': (file) => Number(file.entry(64)),
  'inactive L1 table': (file) => Number(file.entry(file.snapshotEntries()[0] ?? 0)),
  'inactive L2 table': (file) => target(file.entry(file.snapshotL1()[0] ?? 0)),
};

const checks = ['none', 'constant', 'cached', 'all', { template: 'none', 'inactive-l2': true }] as const;

/** An image with a snapshot, whose first L2 entry leads elsewhere. */
async function imageWith(place: string): Promise<Uint8Array> {
  using folder = new TemporaryFolder();
  const path = folder.file('made.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', path, '1M');
  await qemuIo(path, 'qcow2', 'write -P 1 0 16k');
  await qemuImg('snapshot', '-c', 'before', path);
  await qemuIo(path, 'qcow2', 'write -P 2 0 16k');
  const file = new Qcow2File(folder.read('made.qcow2'));
  const l2 = target(file.entry(file.l1Offset));
  file.change(l2, () => COPIED | BigInt(places[place]!(file)));
  return file.bytes;
}

async function ours(image: Uint8Array, check: unknown): Promise<{ name: string; corrupt: boolean }> {
  const storage = new LastingStorage({ initial: image });
  const { graph, disk } = await openQcow2(storage, { 'overlap-check': check });
  const name = await refusal(disk);
  await graph.close(disk);
  return { name, corrupt: (new Qcow2File(storage.content.toBytes()).entry(72) & 2n) !== 0n };
}

function refusal(disk: BlockBackend): Promise<string> {
  return (async () => disk.write(0, new Uint8Array(4096)))().then(
    () => '',
    (error: unknown) => overlapIn(String(error)),
  );
}

function overlapIn(text: string): string {
  return /Preventing invalid write on metadata \(overlaps with ([^)]+)\)/.exec(text)?.[1] ?? '';
}

async function theirs(image: Uint8Array, check: unknown): Promise<{ name: string; corrupt: boolean }> {
  using folder = new TemporaryFolder();
  const path = folder.write('image.qcow2', image);
  const options = { driver: 'qcow2', 'overlap-check': check, file: { driver: 'file', filename: path } };
  const { stdout, stderr } = await runTool('qemu-io', ['-c', 'write -P 0 0 4k', `json:${JSON.stringify(options)}`]);
  const corrupt = (new Qcow2File(folder.read('image.qcow2')).entry(72) & 2n) !== 0n;
  return { name: overlapIn(stdout + stderr), corrupt };
}

describeWithQemu('qcow2 overlap checks', () => {
  it.each(Object.keys(places))('data on the %s is refused when and as QEMU refuses it', async (place) => {
    const image = await imageWith(place);
    for (const check of checks) {
      const what = JSON.stringify(check);
      expect({ what, ...(await ours(image, check)) }).toEqual({ what, ...(await theirs(image, check)) });
    }
    expect((await ours(image, 'all')).name).toBe(place);
  });
});

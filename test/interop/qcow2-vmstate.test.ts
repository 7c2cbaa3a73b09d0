/** Machine state that a running QEMU has saved is read here, and QEMU goes on from what was saved here. */
import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { startAsync } from '../../src/block/co.ts';
import {
  createSnapshot,
  listSnapshots,
  loadSnapshot,
  readVmState,
  writeVmState,
} from '../../src/block/image/snapshot.ts';
import { makeQcow2, openQcow2 } from '../support/qcow2-session.ts';
import { qemuCheck, qemuImg, qemuIo, TemporaryFolder } from '../support/qemu.ts';
import { LastingStorage } from '../support/scenario.ts';

const MiB = 2 ** 20;
const SYSTEM = 'qemu-system-x86_64';
/** A machine that stands still before its first instruction, with a monitor that reads commands. */
const MACHINE = '-accel tcg -m 16 -S -nographic -serial none -monitor stdio -net none'.split(' ');

/** @returns what the monitor printed */
function monitor(image: string, ...commands: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const drive = `file=${image},if=virtio,format=qcow2`;
    const child = execFile(SYSTEM, [...MACHINE, '-drive', drive], { timeout: 60_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout + stderr);
      else reject(new Error(`${SYSTEM}: ${error.message}\n${stdout}${stderr}`, { cause: error }));
    });
    child.stdin?.end([...commands, 'quit', ''].join('\n'));
  });
}

interface ImageInfo {
  readonly snapshots: readonly Readonly<Record<string, unknown>>[];
}

async function machineStateOf(path: string, name: string): Promise<Uint8Array> {
  const storage = new LastingStorage({ initial: new Uint8Array(readFileSync(path)) });
  const { graph, disk } = await openQcow2(storage, { 'read-only': true });
  const info = JSON.parse(await qemuImg('info', '--output=json', path)) as ImageInfo;
  expect(listSnapshots(disk.node).map(({ vmStateSize }) => vmStateSize)).toEqual(
    info.snapshots.map((snapshot) => snapshot['vm-state-size']),
  );
  const state = new Uint8Array(listSnapshots(disk.node).find((snapshot) => snapshot.name === name)!.vmStateSize);
  await startAsync(loadSnapshot(disk.node, name));
  await startAsync(readVmState(disk.node, 0, state));
  await graph.close(disk);
  return state;
}

/** An image made here, with a snapshot that holds a machine's state. */
async function imageWithState(state: Uint8Array, options: Readonly<Record<string, unknown>>): Promise<Uint8Array> {
  const storage = new LastingStorage({ initial: await makeQcow2({ size: 4 * MiB, ...options }) });
  const { graph, disk } = await openQcow2(storage);
  await disk.write(0, new Uint8Array(65_536).fill(7));
  await startAsync(writeVmState(disk.node, 0, state));
  await startAsync(createSnapshot(disk.node, { name: 'copied', vmStateSize: state.length }));
  await disk.write(0, new Uint8Array(65_536).fill(8));
  await graph.close(disk);
  return storage.content.toBytes();
}

const isThere = spawnSync(SYSTEM, ['--version']).status === 0;
const why = isThere ? '' : ` (skipped: ${SYSTEM} is not installed; Debian has it in qemu-system-x86)`;

describe.skipIf(!isThere)(`machine state of a running QEMU${why}`, () => {
  it.each([{ cluster_size: 65_536 }, { cluster_size: 4096, refcount_bits: 64 }, { extended_l2: true }])(
    'is read here, and loaded there when it was written here: %o',
    async (options) => {
      using folder = new TemporaryFolder();
      const theirs = folder.file('theirs.qcow2');
      await qemuImg('create', '-q', '-f', 'qcow2', theirs, '4M');
      await qemuIo(theirs, 'qcow2', 'write -P 7 0 64k');
      expect(await monitor(theirs, 'savevm live')).not.toContain('Error');
      const state = await machineStateOf(theirs, 'live');
      expect(state.length).toBeGreaterThan(100_000);
      expect(new TextDecoder().decode(state.subarray(0, 4))).toBe('QEVM');

      const ours = folder.write('ours.qcow2', await imageWithState(state, options));
      expect(Buffer.from(await machineStateOf(ours, 'copied')).equals(Buffer.from(state))).toBe(true);
      expect(await monitor(ours, 'loadvm copied')).not.toContain('Error');
      await qemuIo(ours, 'qcow2', 'read -P 7 0 64k');
      expect((await qemuCheck(ours, 'qcow2')).counts).toMatchObject({ 'check-errors': 0 });
      // A state that is none is noticed: the machine did look at it.
      state.set([0, 0, 0, 0]);
      const broken = folder.write('broken.qcow2', await imageWithState(state, options));
      expect(await monitor(broken, 'loadvm copied')).toContain('Error');
      // And what QEMU adds to our image is read here.
      await monitor(ours, 'savevm again');
      expect(new TextDecoder().decode((await machineStateOf(ours, 'again')).subarray(0, 4))).toBe('QEVM');
    },
  );
});

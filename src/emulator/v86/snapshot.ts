/** One call that saves a machine together with its disk, and one that brings both back. */
import { BlockError } from '../../block/error.ts';
import type { V86Drives } from './attach.ts';
import type { V86Emulator } from './machine.ts';

/** v86's `V86`, as far as machine states go. */
export interface V86StateEmulator extends V86Emulator {
  is_running(): boolean;
  save_state(): Promise<ArrayBuffer>;
  restore_state(state: ArrayBuffer): Promise<void>;
  restart(): void;
}

/** What the adapter needs of a disk's snapshots. `disk.snapshots` of a page's `Disk` is it. */
export interface MachineSnapshots<Snapshot> {
  create(request: { readonly name: string; readonly state: ArrayBuffer }): Promise<Snapshot>;
  apply(
    idOrName: string,
    options: { readonly state: true },
  ): Promise<{
    readonly snapshot: Snapshot;
    readonly state: ArrayBuffer | undefined;
  }>;
}

export interface V86Machine {
  readonly emulator: V86StateEmulator;
  readonly drives: V86Drives;
}

/**
 * Keeps the machine as it is now, memory and disk, in a snapshot of the disk's image. The machine stands still meanwhile, and goes
 * on afterwards if it ran before, also when the snapshot could not be made.
 *
 * @param snapshots of the disk that the machine writes to. What other disks hold is not kept
 * @throws BlockError what the flush, the emulator or the image reports; there is no snapshot then
 */
export async function saveMachine<Snapshot>(
  { emulator, drives }: V86Machine,
  snapshots: MachineSnapshots<Snapshot>,
  name: string,
): Promise<Snapshot> {
  const ran = emulator.is_running();
  await standStill({ emulator, drives });
  try {
    return await snapshots.create({ name, state: await emulator.save_state() });
  } finally {
    if (ran) await emulator.run();
  }
}

/**
 * Makes disk and machine what they were when a snapshot was made. What was done since is lost. A snapshot without machine state
 * brings the disk back, and the machine starts anew from it. The machine runs afterwards if it ran before.
 *
 * @throws BlockError `not-found`, and what the image or the emulator reports. If the disk is set back and the machine could not
 *   be, the machine stands still: start it anew
 */
export async function restoreMachine<Snapshot>(
  { emulator, drives }: V86Machine,
  snapshots: MachineSnapshots<Snapshot>,
  idOrName: string,
): Promise<Snapshot> {
  const ran = emulator.is_running();
  await standStill({ emulator, drives });
  let applied: Awaited<ReturnType<MachineSnapshots<Snapshot>['apply']>>;
  try {
    applied = await snapshots.apply(idOrName, { state: true });
  } catch (error) {
    if (ran) await emulator.run();
    throw error;
  }
  drives.invalidate();
  await setBack(emulator, applied.state);
  if (ran) await emulator.run();
  return applied.snapshot;
}

async function setBack(emulator: V86StateEmulator, state: ArrayBuffer | undefined): Promise<void> {
  if (state === undefined) {
    emulator.restart();
    return;
  }
  try {
    await emulator.restore_state(state);
  } catch (cause) {
    if (cause instanceof BlockError) throw cause;
    const message =
      'The disk is as it was, and the machine state that was kept with it could not be read: reset the machine';
    throw new BlockError('corrupt', message, {}, { cause });
  }
}

async function standStill({ emulator, drives }: V86Machine): Promise<void> {
  await emulator.stop();
  await drives.idle();
  await drives.flush();
}

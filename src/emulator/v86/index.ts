/**
 * Disks for v86 (https://github.com/copy/v86, version 0.5.462):
 *
 *     const hda = v86Disk(disk);
 *     const emulator = new V86({ wasm_path, bios, vga_bios, hda, autostart: true });
 *     const drives = await attachDrives(emulator);
 *
 * The guest then has a drive with a volatile write cache: what it writes has reached `disk.write` when it is told so, and its
 * FLUSH CACHE (sync, fsync, unmount) comes back when `disk.flush` has. What fails, fails in the guest, at once.
 */

export type { EmulatorDisk, NearDisk, SynchronousDisk } from '../disk.ts';
export { attachDrives, type AttachOptions, type V86Drives } from './attach.ts';
export { v86Disk, v86DiskSync, type V86Disk, type V86DiskOptions } from './buffer.ts';
export type { V86Emulator } from './machine.ts';
export type { DriveErrorEvent, DriveOperation, ErrorAction, ReadErrorPolicy, WriteErrorPolicy } from './policy.ts';
export type { EjectOptions, InsertOptions, V86RemovableDrive } from './removable.ts';
export type { DiskStatistics } from './requests.ts';
export type { DriveMedia } from './sizes.ts';
export {
  restoreMachine,
  saveMachine,
  type MachineSnapshots,
  type V86Machine,
  type V86StateEmulator,
} from './snapshot.ts';

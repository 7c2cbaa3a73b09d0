/**
 * Puts our methods in front of v86's. v86's drives are sealed, so the prototypes carry the hooks: each asks whether the
 * object was attached and else does what it did before. A prototype is patched once, for all emulators on the page.
 */

import { V86Disk } from './buffer.ts';
import type { HookedFloppyDrive } from './floppy-drive.ts';
import type { HookedIdeDrive } from './ide-drive.ts';
import type { DmaAnswer, DmaController, DriveBuffer, FloppyController, IdeDrive } from './machine.ts';

const ideDrives = new WeakMap<IdeDrive, HookedIdeDrive>();
const floppyControllers = new WeakMap<FloppyController, readonly HookedFloppyDrive[]>();
const patched = new WeakSet<object>();

export function hookIdeDrive(hooked: HookedIdeDrive): void {
  ideDrives.set(hooked.drive, hooked);
  patchOnce(hooked.drive, patchIde);
}

export function unhookIdeDrive(hooked: HookedIdeDrive): void {
  ideDrives.delete(hooked.drive);
}

export function hookFloppies(controller: FloppyController, drives: readonly HookedFloppyDrive[]): void {
  floppyControllers.set(controller, drives);
  patchOnce(controller, patchFloppyController);
  patchOnce(controller.dma, patchDma);
}

export function unhookFloppies(controller: FloppyController): void {
  floppyControllers.delete(controller);
}

function patchOnce<T extends object>(instance: T, patch: (prototype: T) => void): void {
  const prototype = Object.getPrototypeOf(instance) as T;
  if (patched.has(prototype)) return;
  patched.add(prototype);
  patch(prototype);
}

function patchIde(prototype: IdeDrive): void {
  const { ata_command, atapi_handle, cancel_io_operations, do_atapi_dma, do_write } = prototype;
  prototype.ata_command = function (this: IdeDrive, command: number): void {
    const hooked = ideDrives.get(this);
    if (hooked === undefined) ata_command.call(this, command);
    else hooked.ataCommand(command, () => ata_command.call(this, command));
  };
  prototype.atapi_handle = hookedMethod(atapi_handle, (hooked, original) => hooked.packet(original));
  prototype.cancel_io_operations = hookedMethod(cancel_io_operations, (hooked, original) => hooked.reset(original));
  prototype.do_atapi_dma = hookedMethod(do_atapi_dma, (hooked, original) => hooked.startPacketDma(original));
  prototype.do_write = hookedMethod(do_write, (hooked, original) => hooked.pioWrite(original));
}

function hookedMethod(
  original: (this: IdeDrive) => void,
  hook: (hooked: HookedIdeDrive, original: () => void) => void,
): (this: IdeDrive) => void {
  return function (this: IdeDrive): void {
    const hooked = ideDrives.get(this);
    if (hooked === undefined) original.call(this);
    else hook(hooked, () => original.call(this));
  };
}

function patchFloppyController(prototype: FloppyController): void {
  const { reset_fdc } = prototype;
  prototype.reset_fdc = function (this: FloppyController): void {
    for (const hooked of floppyControllers.get(this) ?? []) hooked.reset();
    reset_fdc.call(this);
  };
}

/** The ISA DMA controller serves every device; only transfers with one of our disks are changed. */
function patchDma(prototype: DmaController): void {
  const { do_read, do_write } = prototype;
  prototype.do_read = function (this: DmaController, buffer, start, length, channel, answer): void {
    do_read.call(this, failing(buffer, answer), start, length, channel, answer);
  };
  prototype.do_write = function (this: DmaController, buffer, start, length, channel, answer): void {
    do_write.call(this, failing(buffer, answer), start, length, channel, answer);
  };
}

/** The same disk for one transfer, which can tell the transfer that it failed. */
function failing(buffer: DriveBuffer, answer: DmaAnswer): DriveBuffer {
  if (!(buffer instanceof V86Disk) || buffer.requests.host === undefined) return buffer;
  const { requests, byteLength } = buffer;
  const failed = (): void => answer(true);
  return {
    byteLength,
    get: (offset, length, done) => requests.read(offset, length, done, failed),
    // The data is a view of the guest's memory.
    set: (offset, data, done) => requests.write(offset, data.slice(), done, failed),
  };
}

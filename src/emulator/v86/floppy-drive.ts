import { V86Disk } from './buffer.ts';
import type { FloppyDrive } from './machine.ts';
import type { DriveHost } from './requests.ts';

/** An attached floppy drive. It has no cache that a guest could flush, so that every write is flushed before it is done. */
export class HookedFloppyDrive implements DriveHost {
  readonly name: string;
  readonly drive: FloppyDrive;
  readonly writeThrough = true;
  readonly deferring = false;
  readonly #stopMachine: () => void;

  constructor(name: string, drive: FloppyDrive, stopMachine: () => void) {
    this.name = name;
    this.drive = drive;
    this.#stopMachine = stopMachine;
  }

  get disk(): V86Disk | undefined {
    const { buffer } = this.drive;
    return buffer instanceof V86Disk ? buffer : undefined;
  }

  /** Transfers are answered one by one, through the DMA controller (see `patch.ts`). */
  failed(): void {
    // Nothing waits outside a transfer.
  }

  stop(): void {
    this.#stopMachine();
  }

  /** The guest reset the controller. */
  reset(): void {
    this.disk?.requests.cancel();
  }
}

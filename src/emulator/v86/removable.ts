import { BlockError } from '../../block/error.ts';
import type { EmulatorDisk } from '../disk.ts';
import * as ata from './ata.ts';
import { V86Disk, v86Disk, type V86DiskOptions } from './buffer.ts';
import type { HookedFloppyDrive } from './floppy-drive.ts';
import type { HookedIdeDrive, Tray } from './ide-drive.ts';
import type { DriveMedia } from './sizes.ts';

/** A drive whose disk can be changed while the machine runs. */
export interface V86RemovableDrive {
  /** `cdrom`, `fda` or `fdb`. */
  readonly name: string;
  /** The disk in the drive, also while it lies in the open tray. */
  readonly disk: V86Disk | undefined;
  /** The guest forbade taking the disk out (PREVENT ALLOW MEDIUM REMOVAL). A floppy drive has no lock. */
  readonly locked: boolean;
  /** The guest opened the tray, or it is empty. */
  readonly trayOpen: boolean;
  /**
   * Puts a disk in, in place of the one that is there. The guest sees that the medium changed.
   *
   * @returns the disk as it is in the drive
   * @throws BlockError `busy` if the tray is locked and `force` is not set, or if the disk is in a drive already; `invalid` for
   * a size that the drive does not take; what flushing the old disk throws, unless `force` is set
   */
  insert(disk: EmulatorDisk | V86Disk, options?: InsertOptions): Promise<V86Disk>;
  /**
   * Flushes the disk and takes it out.
   *
   * @returns the disk that was in the drive, if any
   * @throws BlockError `busy` if the tray is locked and `force` is not set; what flushing throws, unless `force` is set
   */
  eject(options?: EjectOptions): Promise<V86Disk | undefined>;
}

export interface EjectOptions {
  /** Also when the guest locked the tray, and when flushing fails. The guest may lose what it has not written. */
  readonly force?: boolean;
}

export interface InsertOptions extends V86DiskOptions, EjectOptions {}

/** The tray of the CD drive: v86 has neither its lock nor a tray that closes again. */
export class CdromDrive implements V86RemovableDrive, Tray {
  locked = false;
  readonly #hooked: HookedIdeDrive;
  readonly #onTray: (open: boolean) => void;
  /** What the guest ejected and nobody took out yet. */
  #inOpenTray: V86Disk | undefined;

  constructor(hooked: HookedIdeDrive, onTray: (open: boolean) => void) {
    this.#hooked = hooked;
    this.#onTray = onTray;
    hooked.tray = this;
  }

  get name(): string {
    return this.#hooked.name;
  }

  get disk(): V86Disk | undefined {
    return this.#hooked.disk ?? this.#inOpenTray;
  }

  get trayOpen(): boolean {
    return this.#hooked.drive.buffer === null;
  }

  async insert(disk: EmulatorDisk | V86Disk, options: InsertOptions = {}): Promise<V86Disk> {
    const inserted = asV86Disk(disk, 'cdrom', options);
    await this.eject(options);
    this.#load(inserted);
    return inserted;
  }

  async eject(options: EjectOptions = {}): Promise<V86Disk | undefined> {
    refuseIfLocked(this, options);
    const { disk } = this;
    await settle(disk, options);
    refuseIfLocked(this, options);
    this.#inOpenTray = undefined;
    this.locked = false;
    const { drive } = this.#hooked;
    if (drive.buffer !== null) {
      // Not v86's `eject`: it changes the status of a command that the guest may be in the middle of.
      drive.buffer = null;
      drive.medium_changed = 2;
      this.#onTray(true);
    }
    disk?.requests.plug(undefined);
    return disk;
  }

  packet(handle: () => void): boolean {
    const { drive } = this.#hooked;
    const operation = drive.data[0];
    const flags = drive.data[4]! & 3;
    if (operation === ata.PREVENT_ALLOW_MEDIUM_REMOVAL) {
      handle();
      if ((drive.status_reg & ata.STATUS_ERROR_BIT) === 0) this.locked = (flags & 1) === 1;
      return true;
    }
    return operation === ata.START_STOP_UNIT && this.#startStop(flags, handle);
  }

  reset(): void {
    this.locked = false;
  }

  /** Bit 1 of the flags: move the tray; bit 0: in, else out. */
  #startStop(flags: number, handle: () => void): boolean {
    const { drive } = this.#hooked;
    if (flags === 2 && this.locked) {
      drive.atapi_check_condition_response(ata.SENSE_ILLEGAL_REQUEST, ata.ASC_MEDIUM_REMOVAL_PREVENTED);
      drive.push_irq();
      return true;
    }
    const { disk } = this.#hooked;
    handle();
    if (flags === 2 && disk !== undefined && drive.buffer === null) {
      this.#inOpenTray = disk;
      this.#onTray(true);
    }
    if (flags === 3 && this.#inOpenTray !== undefined) this.#load(this.#inOpenTray);
    return true;
  }

  #load(disk: V86Disk): void {
    const { drive } = this.#hooked;
    const { status_reg, error_reg } = drive;
    disk.padForCdrom();
    disk.requests.plug(this.#hooked);
    this.#inOpenTray = undefined;
    drive.set_cdrom(disk);
    // As above: the command that the guest is in the middle of goes on.
    drive.status_reg = status_reg;
    drive.error_reg = error_reg;
    this.#onTray(false);
  }
}

/** A floppy drive. */
export class FloppyBay implements V86RemovableDrive {
  readonly locked = false;
  readonly #hooked: HookedFloppyDrive;
  readonly #onTray: (open: boolean) => void;

  constructor(hooked: HookedFloppyDrive, onTray: (open: boolean) => void) {
    this.#hooked = hooked;
    this.#onTray = onTray;
  }

  get name(): string {
    return this.#hooked.name;
  }

  get disk(): V86Disk | undefined {
    return this.#hooked.disk;
  }

  get trayOpen(): boolean {
    return this.#hooked.drive.buffer === null;
  }

  async insert(disk: EmulatorDisk | V86Disk, options: InsertOptions = {}): Promise<V86Disk> {
    const inserted = asV86Disk(disk, 'floppy', options);
    await this.eject(options);
    inserted.requests.plug(this.#hooked);
    this.#hooked.drive.insert_disk(inserted, inserted.readOnly);
    this.#onTray(false);
    return inserted;
  }

  async eject(options: EjectOptions = {}): Promise<V86Disk | undefined> {
    const { disk } = this;
    await settle(disk, options);
    if (!this.trayOpen) {
      this.#hooked.drive.eject_disk();
      this.#onTray(true);
    }
    disk?.requests.plug(undefined);
    return disk;
  }
}

function asV86Disk(disk: EmulatorDisk | V86Disk, media: DriveMedia, options: InsertOptions): V86Disk {
  if (!(disk instanceof V86Disk)) return v86Disk(disk, { ...options, media });
  const { host } = disk.requests;
  if (host === undefined) return disk;
  throw new BlockError('busy', `The disk is already in drive '${host.name}': eject it there first.`);
}

function refuseIfLocked(drive: V86RemovableDrive, options: EjectOptions): void {
  if (!drive.locked || options.force === true) return;
  throw new BlockError(
    'busy',
    `The guest has locked the tray of '${drive.name}': unmount the disk in the guest first, or eject it with { force: true }.`,
  );
}

async function settle(disk: V86Disk | undefined, options: EjectOptions): Promise<void> {
  if (disk === undefined) return;
  await disk.requests.idle();
  try {
    await disk.flush();
  } catch (error) {
    if (options.force !== true) throw error;
  }
}

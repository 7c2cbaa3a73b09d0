import { BlockError } from '../../block/error.ts';
import type { V86Disk } from './buffer.ts';
import { HookedFloppyDrive } from './floppy-drive.ts';
import { HookedIdeDrive } from './ide-drive.ts';
import { checkedDevices, loadedDevices, type Devices, type IdeChannel, type V86Emulator } from './machine.ts';
import { hookFloppies, hookIdeDrive, unhookFloppies, unhookIdeDrive } from './patch.ts';
import { CdromDrive, FloppyBay, type V86RemovableDrive } from './removable.ts';

export interface AttachOptions {
  /** A disk was inserted or ejected, by the page or by the guest. */
  readonly onTray?: (event: { readonly drive: string; readonly open: boolean }) => void;
}

/** The drives of a machine whose disks are `V86Disk`s. */
export interface V86Drives {
  readonly hda: V86Disk | undefined;
  readonly hdb: V86Disk | undefined;
  readonly cdrom: V86RemovableDrive | undefined;
  readonly fda: V86RemovableDrive | undefined;
  readonly fdb: V86RemovableDrive | undefined;
  /**
   * After an error that stopped the machine: tries the requests again that failed, and runs the machine if all of them
   * succeeded.
   *
   * @returns whether the machine runs; if not, `onStop` has been called again
   */
  resume(): Promise<boolean>;
  /**
   * Brings everything that the guest was told is written onto the disks.
   *
   * @throws whatever a disk's flush rejects with
   */
  flush(): Promise<void>;
  /**
   * Resolves when no request is on its way. Stop the machine, wait for this, then `save_state`: v86 keeps no requests in a
   * machine state, and a guest that is set back into the middle of one waits for its own timeout.
   */
  idle(): Promise<void>;
  /** Forgets what was cached of the disks. Call it after writing to one by other means. */
  invalidate(): void;
  /**
   * Flushes all disks and takes the hooks out, so that the disks can be closed. Stop the machine before.
   *
   * @throws whatever a disk's flush rejects with; the hooks are out all the same
   */
  detach(): Promise<void>;
}

/**
 * Completes the disks of an emulator: finds each `V86Disk` in its drives and gives the guest a write cache whose FLUSH CACHE
 * waits for the storage, I/O errors instead of hangs, TRIM, and media that can be changed. Call it right after `new V86`; the
 * hooks are then in before the first instruction runs, also with `autostart: true`. A guest that has started before has
 * already been told that there is no write cache and will not flush.
 *
 * @throws BlockError `unsupported` for a build of v86 with other insides, `io` if v86 could not load one of its files
 */
export async function attachDrives(emulator: V86Emulator, options: AttachOptions = {}): Promise<V86Drives> {
  const loaded = loadedDevices(emulator);
  if (loaded !== undefined) return new AttachedDrives(emulator, checkedDevices(loaded), options);
  return new Promise<V86Drives>((resolve, reject) => {
    const forget = (): void => {
      emulator.remove_listener('emulator-loaded', onLoaded);
      emulator.remove_listener('download-error', onFailed);
    };
    const onLoaded = (): void => {
      forget();
      try {
        // At once, not after a promise: with `autostart` the machine is about to run.
        resolve(new AttachedDrives(emulator, checkedDevices(loadedDevices(emulator)), options));
      } catch (error) {
        reject(error instanceof Error ? error : new BlockError('internal', String(error)));
      }
    };
    const onFailed = ({ file_name: filename }: { readonly file_name: string }): void => {
      forget();
      reject(new BlockError('io', `v86 could not load '${filename}'.`, { filename }));
    };
    emulator.add_listener('emulator-loaded', onLoaded);
    emulator.add_listener('download-error', onFailed);
  });
}

class AttachedDrives implements V86Drives {
  readonly cdrom: CdromDrive | undefined;
  readonly fda: FloppyBay | undefined;
  readonly fdb: FloppyBay | undefined;
  readonly #emulator: V86Emulator;
  readonly #devices: Devices;
  readonly #ide: readonly HookedIdeDrive[];
  readonly #floppies: readonly HookedFloppyDrive[];

  constructor(emulator: V86Emulator, devices: Devices, options: AttachOptions) {
    this.#emulator = emulator;
    this.#devices = devices;
    // It resolves when the machine stands still, which nobody here waits for, and does not reject.
    const stop = (): void => void emulator.stop();
    const tray = (drive: string) => (open: boolean) => options.onTray?.({ drive, open });
    this.#ide = [
      ...ideDrives('hda', 'hdb', devices.ide.primary, stop),
      ...ideDrives('cdrom', 'hdd', devices.ide.secondary, stop),
    ];
    for (const hooked of this.#ide) plugIde(hooked);
    const cdrom = this.#ide.find((hooked) => hooked.drive.is_atapi === true);
    this.cdrom = cdrom && new CdromDrive(cdrom, tray(cdrom.name));

    const floppies = devices.fdc?.drives ?? [];
    this.#floppies = floppies.map((drive, index) => new HookedFloppyDrive(index === 0 ? 'fda' : 'fdb', drive, stop));
    for (const hooked of this.#floppies) plugFloppy(hooked);
    if (devices.fdc !== undefined) hookFloppies(devices.fdc, this.#floppies);
    const [fda, fdb] = this.#floppies;
    this.fda = fda && new FloppyBay(fda, tray('fda'));
    this.fdb = fdb && new FloppyBay(fdb, tray('fdb'));
  }

  get hda(): V86Disk | undefined {
    return this.#hardDisk('hda');
  }

  get hdb(): V86Disk | undefined {
    return this.#hardDisk('hdb');
  }

  async resume(): Promise<boolean> {
    const disks = this.#disks();
    await Promise.all(disks.map((disk) => disk.requests.retry()));
    if (disks.some((disk) => disk.requests.stopped > 0)) return false;
    await this.#emulator.run();
    return true;
  }

  async flush(): Promise<void> {
    await all(this.#disks().map((disk) => disk.flush()));
  }

  async idle(): Promise<void> {
    await Promise.all(this.#disks().map((disk) => disk.requests.idle()));
  }

  invalidate(): void {
    for (const disk of this.#disks()) disk.invalidate();
  }

  async detach(): Promise<void> {
    const disks = this.#disks();
    await this.idle();
    for (const hooked of this.#ide) unhookIdeDrive(hooked);
    if (this.#devices.fdc !== undefined) unhookFloppies(this.#devices.fdc);
    for (const disk of disks) disk.requests.plug(undefined);
    await all(disks.map((disk) => disk.flush()));
  }

  #hardDisk(name: string): V86Disk | undefined {
    return this.#ide.find((hooked) => hooked.name === name && hooked.drive.is_atapi !== true)?.disk;
  }

  #disks(): readonly V86Disk[] {
    const disks = [
      ...this.#ide.map((hooked) => hooked.disk),
      this.cdrom?.disk,
      ...this.#floppies.map((hooked) => hooked.disk),
    ];
    return [...new Set(disks)].filter((disk) => disk !== undefined);
  }
}

function ideDrives(master: string, slave: string, channel: IdeChannel | undefined, stop: () => void): HookedIdeDrive[] {
  if (channel === undefined) return [];
  return [new HookedIdeDrive(master, channel.master, stop), new HookedIdeDrive(slave, channel.slave, stop)];
}

function plugIde(hooked: HookedIdeDrive): void {
  if (hooked.drive.is_atapi === true) hooked.disk?.padForCdrom();
  hooked.disk?.requests.plug(hooked);
  hookIdeDrive(hooked);
}

function plugFloppy(hooked: HookedFloppyDrive): void {
  const { disk } = hooked;
  if (disk === undefined) return;
  hooked.drive.read_only = disk.readOnly;
  disk.requests.plug(hooked);
}

/** Waits for all of them, whatever fails, and then throws the first error. */
async function all(work: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

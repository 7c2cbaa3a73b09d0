/** A running PC: v86 over a disk, or two. Knows nothing of the page but the element that the screen is drawn into. */
import type { V86 } from 'v86';
import type { Disk, SnapshotInfo } from '../../client/index.ts';
import {
  attachDrives,
  restoreMachine,
  saveMachine,
  v86Disk,
  type DriveErrorEvent,
  type DriveMedia,
  type V86Disk,
  type V86Drives,
  type V86Machine,
} from '../../emulator/v86/index.ts';
import type { Device } from '../images/device.ts';
import { MeteredDisk } from './metered-disk.ts';
import type { MachineParts } from './parts.ts';
import { begin } from '../parts/begin.ts';

const VGA_MEMORY = 8 * 1024 * 1024;

/** v86's numbers for the BIOS: a machine starts from its own disk, whatever the second one holds. */
const BOOT_ORDERS: Readonly<Record<Device, number>> = { hda: 0x132, cdrom: 0x213, fda: 0x231 };

/** Where the second disk is plugged in: v86 has no second hard disk without a first one. */
export function secondDrive(device: Device): 'hda' | 'hdb' {
  return device === 'hda' ? 'hdb' : 'hda';
}

const MEDIA: Readonly<Record<Device, DriveMedia>> = { hda: 'disk', cdrom: 'cdrom', fda: 'floppy' };

export type MachineState = 'running' | 'paused' | 'stopped' | 'off';

export interface MachineSettings {
  readonly disk: Disk;
  readonly device: Device;
  /** A hard disk beside it. */
  readonly second: Disk | undefined;
  /** Bytes. */
  readonly memory: number;
  readonly screen: HTMLElement;
}

export interface MachineEvents {
  serial(byte: number): void;
  activity(kind: 'read' | 'write' | 'flush', bytes: number): void;
  unflushed(bytes: number): void;
  state(state: MachineState): void;
  /** A request of the guest failed. With action `stop` the machine stands still until `resume`. */
  diskError(event: DriveErrorEvent): void;
}

export class Machine {
  readonly #emulator: V86;
  readonly #drives: V86Drives;
  /** The one that it started from is the first. */
  readonly #disks: readonly Disk[];
  readonly #metered: readonly MeteredDisk[];
  readonly #events: MachineEvents;
  #state: MachineState = 'running';
  #flushFailed = false;

  private constructor(
    emulator: V86,
    drives: V86Drives,
    disks: readonly Disk[],
    metered: readonly MeteredDisk[],
    events: MachineEvents,
  ) {
    this.#emulator = emulator;
    this.#drives = drives;
    this.#disks = disks;
    this.#metered = metered;
    this.#events = events;
  }

  /**
   * Puts a machine together and lets it run.
   *
   * @throws BlockError when the disk does not fit the drive, or v86 cannot start
   */
  static async start(parts: MachineParts, settings: MachineSettings, events: MachineEvents): Promise<Machine> {
    const { disk, device, second } = settings;
    const disks = second === undefined ? [disk] : [disk, second];
    const unflushed = (): void => events.unflushed(sumUnflushed(metered));
    const metered = disks.map((each) => new MeteredDisk(each, unflushed, () => events.activity('flush', 0)));
    // A stop may be told before the machine is known here.
    let machine: Machine | undefined;
    const driveOf = (of: MeteredDisk, media: DriveMedia): V86Disk =>
      v86Disk(of, {
        media,
        writeError: 'stop',
        readError: 'report',
        onActivity: (kind, bytes) => {
          if (kind === 'read' || kind === 'write') events.activity(kind, bytes);
        },
        onError: (event) => {
          if (machine !== undefined) machine.#diskFailed(event);
          else events.diskError(event);
        },
      });
    const [own, beside] = metered;
    const emulator = new parts.V86({
      wasm_path: parts.wasmUrl,
      bios: { buffer: parts.seabios },
      vga_bios: { buffer: parts.vgabios },
      memory_size: settings.memory,
      vga_memory_size: VGA_MEMORY,
      screen: { container: settings.screen },
      disable_speaker: true,
      [device]: driveOf(own!, MEDIA[device]),
      ...(beside !== undefined && { [secondDrive(device)]: driveOf(beside, 'disk') }),
      boot_order: BOOT_ORDERS[device],
      autostart: false,
    });
    emulator.add_listener('serial0-output-byte', (byte) => events.serial(byte));
    try {
      const drives = await attachDrives(emulator);
      machine = new Machine(emulator, drives, disks, metered, events);
      await emulator.run();
    } catch (error) {
      await emulator.destroy();
      throw error;
    }
    events.state('running');
    return machine;
  }

  get state(): MachineState {
    return this.#state;
  }

  get emulator(): V86 {
    return this.#emulator;
  }

  /** Bytes that the guest wrote and that are not on stable storage. */
  get unflushed(): number {
    return sumUnflushed(this.#metered);
  }

  send(text: string): void {
    this.#emulator.serial0_send(text);
  }

  /** Stands still; what was written is flushed. */
  async pause(): Promise<void> {
    if (this.#state !== 'running') return;
    await this.#emulator.stop();
    this.#setState('paused');
    await this.#drives.idle();
    await this.#drives.flush();
  }

  /** Goes on: after a pause, or after an error with the requests that failed. @throws BlockError while a flush still fails */
  async resume(): Promise<void> {
    if (this.#state !== 'paused' && this.#state !== 'stopped') return;
    if (this.#flushFailed) await this.#flushAgain();
    // Requests that an error stopped are tried again; if one fails once more, that was told.
    if (await this.#drives.resume()) this.#setState('running');
  }

  reset(): void {
    this.#emulator.restart();
  }

  /** Keeps memory and disk as they are now, together; not the second disk. The machine stands still meanwhile. */
  saveSnapshot(name: string): Promise<SnapshotInfo> {
    return saveMachine(this.#parts, this.#disks[0]!.snapshots, name);
  }

  /**
   * Brings memory and disk back. One that was paused stays so.
   *
   * @throws BlockError; the machine is paused if its disk was set back and it was not
   */
  async restoreSnapshot(id: string): Promise<void> {
    try {
      await restoreMachine(this.#parts, this.#disks[0]!.snapshots, id);
    } finally {
      if (this.#state === 'running' && !this.#emulator.is_running()) this.#setState('paused');
    }
  }

  get #parts(): V86Machine {
    return { emulator: this.#emulator, drives: this.#drives };
  }

  /** Everything that the guest was told is written, on stable storage. */
  flush(): Promise<void> {
    return this.#drives.flush();
  }

  /** Pulls the plug: the guest is not asked, what it wrote is flushed, and the disks are closed. */
  async powerOff(): Promise<void> {
    if (this.#state === 'off') return;
    this.#setState('off');
    await this.#emulator.stop();
    try {
      await this.#drives.detach();
    } finally {
      await this.#emulator.destroy();
      await closeAll(this.#disks);
    }
  }

  /**
   * A flush that the guest did not ask for cannot be answered with an error: the machine stands still for it too, before more
   * is written that is not safe.
   */
  #diskFailed(event: DriveErrorEvent): void {
    const unasked = event.operation === 'flush' && event.action === 'report';
    if (unasked) {
      this.#flushFailed = true;
      begin(this.#emulator.stop());
    }
    if (unasked || event.action === 'stop') this.#setState('stopped');
    this.#events.diskError(unasked ? { ...event, action: 'stop' } : event);
  }

  /** @throws BlockError while the storage still fails */
  async #flushAgain(): Promise<void> {
    // The first one ends with the failure that was shown already; only what the second one says is news.
    await this.#drives.flush().catch(() => undefined);
    await this.#drives.flush();
    this.#flushFailed = false;
  }

  #setState(state: MachineState): void {
    if (this.#state === state || this.#state === 'off') return;
    this.#state = state;
    this.#events.state(state);
  }
}

function sumUnflushed(disks: readonly MeteredDisk[]): number {
  return disks.reduce((sum, { unflushed }) => sum + unflushed, 0);
}

/** Closes all of them, whatever fails, and then throws the first error. */
async function closeAll(disks: readonly Disk[]): Promise<void> {
  const results = await Promise.allSettled(disks.map((disk) => disk.close()));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** A running PC: v86 over one disk. Knows nothing of the page but the element that the screen is drawn into. */
import type { V86 } from 'v86';
import type { Disk, SnapshotInfo } from '../../client/index.ts';
import {
  attachDrives,
  restoreMachine,
  saveMachine,
  v86Disk,
  type DriveErrorEvent,
  type V86Drives,
  type V86Machine,
} from '../../emulator/v86/index.ts';
import type { Device } from '../images/device.ts';
import { MeteredDisk } from './metered-disk.ts';
import type { MachineParts } from './parts.ts';
import { begin } from '../parts/begin.ts';

const VGA_MEMORY = 8 * 1024 * 1024;

export type MachineState = 'running' | 'paused' | 'stopped' | 'off';

export interface MachineSettings {
  readonly disk: Disk;
  readonly device: Device;
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
  readonly #disk: Disk;
  readonly #metered: MeteredDisk;
  readonly #events: MachineEvents;
  #state: MachineState = 'running';
  #flushFailed = false;

  private constructor(emulator: V86, drives: V86Drives, disk: Disk, metered: MeteredDisk, events: MachineEvents) {
    this.#emulator = emulator;
    this.#drives = drives;
    this.#disk = disk;
    this.#metered = metered;
    this.#events = events;
  }

  /**
   * Puts a machine together and lets it run.
   *
   * @throws BlockError when the disk does not fit the drive, or v86 cannot start
   */
  static async start(parts: MachineParts, settings: MachineSettings, events: MachineEvents): Promise<Machine> {
    const { disk, device } = settings;
    const metered = new MeteredDisk(disk, events.unflushed, () => events.activity('flush', 0));
    // A stop may be told before the machine is known here.
    let machine: Machine | undefined;
    const drive = v86Disk(metered, {
      media: device === 'fda' ? 'floppy' : device === 'cdrom' ? 'cdrom' : 'disk',
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
    const emulator = new parts.V86({
      wasm_path: parts.wasmUrl,
      bios: { buffer: parts.seabios },
      vga_bios: { buffer: parts.vgabios },
      memory_size: settings.memory,
      vga_memory_size: VGA_MEMORY,
      screen: { container: settings.screen },
      disable_speaker: true,
      [device]: drive,
      autostart: false,
    });
    emulator.add_listener('serial0-output-byte', (byte) => events.serial(byte));
    try {
      const drives = await attachDrives(emulator);
      machine = new Machine(emulator, drives, disk, metered, events);
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
    return this.#metered.unflushed;
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

  /** Keeps memory and disk as they are now, together. The machine stands still meanwhile. */
  saveSnapshot(name: string): Promise<SnapshotInfo> {
    return saveMachine(this.#parts, this.#disk.snapshots, name);
  }

  /**
   * Brings memory and disk back. One that was paused stays so.
   *
   * @throws BlockError; the machine is paused if its disk was set back and it was not
   */
  async restoreSnapshot(id: string): Promise<void> {
    try {
      await restoreMachine(this.#parts, this.#disk.snapshots, id);
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

  /** Pulls the plug: the guest is not asked, what it wrote is flushed, and the disk is closed. */
  async powerOff(): Promise<void> {
    if (this.#state === 'off') return;
    this.#setState('off');
    await this.#emulator.stop();
    try {
      await this.#drives.detach();
    } finally {
      await this.#emulator.destroy();
      await this.#disk.close();
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

/** A PC on the page: v86 over a disk of Spindle, its serial port connected to Node. */
import { V86 } from 'v86';
import wasmUrl from 'v86/build/v86.wasm?url';
import { BlockError, type Disk } from '../../src/client/index.ts';
import {
  attachDrives,
  v86Disk,
  type DriveErrorEvent,
  type EmulatorDisk,
  type V86Drives,
} from '../../src/emulator/v86/index.ts';
import type { DriveFailure, MachineOrder, WitnessReport } from './calls.ts';
import { serialWriter, VGA_MEMORY_BYTES } from './page-parts.ts';
import { ReadWitness } from './page-witness.ts';

const MAX_FAILURES_KEPT = 1000;

export class PageMachine {
  readonly failures: DriveFailure[] = [];
  readonly #emulator: V86;
  readonly #witness: ReadWitness | undefined;
  #drives: V86Drives | undefined;
  #stopped: DriveFailure | undefined;
  #tellStopped: ((failure: DriveFailure) => void)[] = [];

  private constructor(disk: Disk, witness: ReadWitness | undefined, order: MachineOrder) {
    const { readError = 'report', writeError = 'enospc' } = order;
    this.#witness = witness;
    const watched: EmulatorDisk = witness?.watch(disk) ?? disk;
    // What reaches the storage does so because the guest asked for it: nothing is flushed behind its back.
    const drive = v86Disk(watched, {
      readError,
      writeError,
      flushAfter: 0,
      onError: (event) => this.#failed(event),
    });
    witness?.watchDrive(drive);
    this.#emulator = new V86({
      wasm_path: wasmUrl,
      bios: { url: 'demo/bios/seabios.bin' },
      vga_bios: { url: 'demo/bios/vgabios.bin' },
      memory_size: order.memory,
      vga_memory_size: VGA_MEMORY_BYTES,
      hda: drive,
      disable_speaker: true,
      autostart: false,
    });
    // Fails only when the page goes away, and then nobody listens.
    const write = serialWriter((text) => void serialOutput(text));
    this.#emulator.add_listener('serial0-output-byte', write);
  }

  static async start(disk: Disk, order: MachineOrder): Promise<PageMachine> {
    const witness = order.witness === undefined ? undefined : await ReadWitness.load(order.witness);
    const machine = new PageMachine(disk, witness, order);
    machine.#drives = await attachDrives(machine.#emulator);
    await machine.#emulator.run();
    return machine;
  }

  type(text: string): void {
    this.#emulator.serial0_send(text);
  }

  untilStopped(): Promise<DriveFailure> {
    if (this.#stopped !== undefined) return Promise.resolve(this.#stopped);
    return new Promise((resolve) => {
      this.#tellStopped.push(resolve);
    });
  }

  resume(): Promise<boolean> {
    this.#stopped = undefined;
    return this.#drives!.resume();
  }

  flushDrives(): Promise<void> {
    return this.#drives!.flush();
  }

  witnessReport(): WitnessReport {
    if (this.#witness === undefined) throw new Error('The machine was started without a witness');
    return this.#witness.report();
  }

  async unplug(): Promise<void> {
    await this.#emulator.stop();
    await this.#emulator.destroy();
  }

  #failed({ operation, offset, length, action, error }: DriveErrorEvent): void {
    const kind = error instanceof BlockError ? error.kind : 'not a BlockError';
    const failure: DriveFailure = { operation, offset, length, action, kind, message: String(error) };
    if (this.failures.length < MAX_FAILURES_KEPT) this.failures.push(failure);
    if (action !== 'stop') return;
    this.#stopped = failure;
    for (const tell of this.#tellStopped.splice(0)) tell(failure);
  }
}

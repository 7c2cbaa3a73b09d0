/**
 * v86's release build without a guest: the test is the driver. It talks to the IDE controller through the processor's I/O
 * ports and memory, so that every command and its outcome is seen by itself, and a machine takes a twentieth of a second.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { V86, type V86Options } from 'v86';

interface Ports {
  port_read8(port: number): number;
  port_read16(port: number): number;
  port_write8(port: number, value: number): void;
  port_write16(port: number, value: number): void;
  port_write32(port: number, value: number): void;
}

interface Processor {
  readonly io: Ports;
  readonly mem8: Uint8Array;
  device_raise_irq(line: number): void;
  device_lower_irq(line: number): void;
}

export const BUSY = 0x80;
export const DATA_REQUEST = 0x08;
export const ERROR = 0x01;

export interface AtaCommand {
  readonly command: number;
  readonly lba?: number;
  readonly count?: number;
  readonly features?: number;
  readonly slave?: boolean;
}

/** A machine that never runs. `options` are v86's; attach the disks, then wait for `loaded`. */
export function idleMachine(options: V86Options): V86 {
  return new V86({
    wasm_path: join(dirname(createRequire(import.meta.url).resolve('v86')), 'v86.wasm'),
    memory_size: 4 * 1024 * 1024,
    vga_memory_size: 1024 * 1024,
    autostart: false,
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
    ...options,
  });
}

/** One IDE channel: 0 has `hda` and `hdb`, 1 the CD drive. */
export class IdePorts {
  /** State of the interrupt line. */
  interrupt = false;
  readonly #processor: Processor;
  readonly #base: number;
  readonly #control: number;
  readonly #busMaster: number;

  constructor(emulator: V86, channel: 0 | 1) {
    this.#processor = (emulator as unknown as { readonly v86: { readonly cpu: Processor } }).v86.cpu;
    this.#base = channel === 0 ? 0x1f0 : 0x170;
    this.#control = channel === 0 ? 0x3f6 : 0x376;
    this.#busMaster = 0xb400 + channel * 8;
    this.#watchInterrupt(14 + channel);
    this.#processor.io.port_write8(this.#control, 0);
  }

  get status(): number {
    return this.#processor.io.port_read8(this.#control);
  }

  get error(): number {
    return this.#processor.io.port_read8(this.#base + 1);
  }

  /** Of a packet command: bit 0 is set where it is not data that moves, bit 1 where it moves to the host; 3 is the end. */
  get interruptReason(): number {
    return this.#processor.io.port_read8(this.#base + 2) & 7;
  }

  /** Bit 0: the transfer goes on. */
  get busMasterStatus(): number {
    return this.#processor.io.port_read8(this.#busMaster + 2);
  }

  get memory(): Uint8Array {
    return this.#processor.mem8;
  }

  command({ command, lba = 0, count = 0, features = 0, slave = false }: AtaCommand): void {
    const { io } = this.#processor;
    this.interrupt = false;
    io.port_write8(this.#base + 6, 0xe0 | (slave ? 0x10 : 0) | ((lba >> 24) & 0x0f));
    io.port_write8(this.#base + 1, 0);
    io.port_write8(this.#base + 1, features);
    io.port_write8(this.#base + 2, 0);
    io.port_write8(this.#base + 2, count & 0xff);
    io.port_write8(this.#base + 3, lba & 0xff);
    io.port_write8(this.#base + 4, (lba >> 8) & 0xff);
    io.port_write8(this.#base + 5, (lba >> 16) & 0xff);
    io.port_write8(this.#base + 7, command);
  }

  /** Starts the transfer of `length` bytes at `address` for the command that was sent. */
  startDma(address: number, length: number): void {
    const { io, mem8 } = this.#processor;
    const table = 0x1000;
    const view = new DataView(mem8.buffer, mem8.byteOffset);
    const regions = Math.ceil(length / 0x10000);
    for (let index = 0; index < regions; index += 1) {
      const size = Math.min(0x10000, length - index * 0x10000);
      view.setUint32(table + index * 8, address + index * 0x10000, true);
      view.setUint16(table + index * 8 + 4, size & 0xffff, true);
      view.setUint16(table + index * 8 + 6, index === regions - 1 ? 0x8000 : 0, true);
    }
    io.port_write8(this.#busMaster, 0);
    io.port_write32(this.#busMaster + 4, table);
    io.port_write8(this.#busMaster, 1);
  }

  readData(length: number): Uint8Array {
    const words = new Uint16Array(length / 2);
    for (let index = 0; index < words.length; index += 1) words[index] = this.#processor.io.port_read16(this.#base);
    return new Uint8Array(words.buffer);
  }

  writeData(data: Uint8Array): void {
    for (let at = 0; at < data.length; at += 2) {
      this.#processor.io.port_write16(this.#base, data[at]! | (data[at + 1]! << 8));
    }
  }

  /** Sends a packet command; `dma` for one whose data comes by DMA, else data comes in pieces of up to 2048 bytes. */
  packet(bytes: readonly number[], dma = false): void {
    const { io } = this.#processor;
    this.command({ command: 0xa0, features: dma ? 1 : 0 });
    io.port_write8(this.#base + 4, 0x00);
    io.port_write8(this.#base + 5, 0x08);
    const packet = new Uint8Array(12);
    packet.set(bytes);
    this.writeData(packet);
  }

  softReset(): void {
    const { io } = this.#processor;
    io.port_write8(this.#control, 4);
    io.port_write8(this.#control, 0);
  }

  #watchInterrupt(line: number): void {
    const processor = this.#processor;
    const { device_raise_irq, device_lower_irq } = processor;
    processor.device_raise_irq = (raised) => {
      if (raised === line) this.interrupt = true;
      device_raise_irq.call(processor, raised);
    };
    processor.device_lower_irq = (lowered) => {
      if (lowered === line) this.interrupt = false;
      device_lower_irq.call(processor, lowered);
    };
  }
}

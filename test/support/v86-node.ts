// A guest in v86 in Node, over a disk in memory: the guests are tested without what the project is about.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { V86 } from 'v86';
import { SerialConsole } from './serial-console.ts';

type Answer = (data: Uint8Array) => void;

/** What v86 calls of a disk object. */
export class MemoryDisk {
  readonly bytes: Uint8Array;
  readonly byteLength: number;
  onload: ((event: object) => void) | undefined;
  #firstSector: Uint8Array | undefined;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.byteLength = bytes.length;
  }

  load(): void {
    this.onload?.({});
  }

  get(offset: number, length: number, answer: Answer): void {
    setImmediate(() => answer(this.bytes.slice(offset, offset + length)));
  }

  set(offset: number, data: Uint8Array, done: () => void): void {
    // v86 hands out a view of its own buffer and goes on using it.
    const copy = data.slice();
    setImmediate(() => {
      this.bytes.set(copy, offset);
      done();
    });
  }

  /** v86 looks at a disk's first sector for its geometry, once with and once without waiting. */
  get_and_cache(offset: number, length: number, answer: Answer): void {
    this.get(offset, length, (data) => {
      if (offset === 0) this.#firstSector = data;
      answer(data);
    });
  }

  get_from_cache(offset: number, length: number): Uint8Array | undefined {
    return offset === 0 ? this.#firstSector?.subarray(0, length) : undefined;
  }

  get_buffer(answer: () => void): void {
    answer();
  }

  get_state(): unknown[] {
    return [this.byteLength];
  }

  set_state(): void {}
}

export interface MachineOptions {
  readonly device: 'hda' | 'cdrom';
  readonly disk: unknown;
  /** Bytes. */
  readonly memory: number;
  /** Files. */
  readonly seabios: string;
  readonly vgabios: string;
}

export interface Machine {
  readonly console: SerialConsole;
  /** The text on the VGA screen, a string per line. */
  screen(): string[];
  typeOnKeyboard(text: string): void;
  stop(): Promise<void>;
}

/** In v86 for as long as it runs outside a browser, but not in its types. */
interface WithScreen {
  readonly screen_adapter: { get_text_screen(): string[] };
}

/** Starts a machine; wait on its serial console for what it does. */
export function startMachine(options: MachineOptions): Machine {
  const { disk } = options;
  const emulator = new V86({
    wasm_path: join(dirname(createRequire(import.meta.url).resolve('v86')), 'v86.wasm'),
    bios: { buffer: fileBuffer(options.seabios) },
    vga_bios: { buffer: fileBuffer(options.vgabios) },
    memory_size: options.memory,
    vga_memory_size: 2 * 1024 * 1024,
    // v86's types know only its own kinds of image.
    [options.device]: disk as { buffer: ArrayBuffer },
    autostart: true,
    disable_speaker: true,
  });
  const console = new SerialConsole((text) => emulator.serial0_send(text));
  emulator.add_listener('serial0-output-byte', (byte) => console.feed(byte));
  return {
    console,
    screen: () => (emulator as V86 & WithScreen).screen_adapter.get_text_screen(),
    typeOnKeyboard: (text) => emulator.keyboard_send_text(text),
    stop: async () => {
      console.close('the machine was stopped');
      await emulator.destroy();
    },
  };
}

function fileBuffer(path: string): ArrayBuffer {
  return new Uint8Array(readFileSync(path)).buffer;
}

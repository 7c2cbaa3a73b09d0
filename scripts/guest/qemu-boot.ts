// The oracle: the same image on QEMU's own PC (qemu-system-i386, Debian package qemu-system-x86).
//
// node scripts/guest/qemu-boot.ts <image> [--format qcow2] [--device cdrom] [--ready GUEST-READY] [--prompt 'guest# ']
//                                 [--memory 128] [--snapshot] [--verbose] [command ...]
import { spawn, spawnSync, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { SerialConsole } from '../../test/support/serial-console.ts';
import { flags } from './words.ts';

const program = 'qemu-system-i386';

export interface QemuBootOptions {
  readonly image: string;
  /** The image's format, as QEMU names it. */
  readonly format: string;
  readonly device?: 'hda' | 'cdrom';
  /** MiB, as for QEMU's `-m`. */
  readonly memory?: number;
  /** Keeps what the guest writes out of the image. */
  readonly snapshot?: boolean;
  /** Sees every byte that the guest writes to its serial port. */
  readonly onOutput?: (bytes: Uint8Array) => void;
}

/** Whether this machine has QEMU's PC at all. */
export function hasQemu(): boolean {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
}

/** A guest on QEMU's PC: talk to it through `console`. */
export class QemuGuest implements AsyncDisposable {
  readonly console: SerialConsole;
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<number | null>;
  #complaints = '';

  constructor(options: QemuBootOptions) {
    const child = spawn(program, qemuArguments(options));
    this.#process = child;
    this.console = new SerialConsole((text) => child.stdin.write(text));
    child.stdout.on('data', (bytes: Buffer) => {
      options.onOutput?.(bytes);
      this.console.feed(bytes);
    });
    child.stderr.on('data', (bytes: Buffer) => (this.#complaints += bytes.toString()));
    // A QEMU that has ended takes no more input; the wait for its output says so.
    child.stdin.on('error', () => this.console.close('QEMU takes no input'));
    this.#ended = this.#watchEnd(child);
  }

  async #watchEnd(child: ChildProcessWithoutNullStreams): Promise<number | null> {
    try {
      const [status] = (await once(child, 'close')) as [number | null];
      this.console.close(`QEMU ended with status ${status}: ${this.#complaints.trim()}`);
      return status;
    } catch (error) {
      this.console.close(`QEMU could not be started: ${String(error)}`);
      return null;
    }
  }

  /** Waits until QEMU ends of itself: after `poweroff` or `reboot` in the guest. Returns its exit status. */
  ended(): Promise<number | null> {
    return this.#ended;
  }

  /** Pulls the plug. QEMU writes out what it holds and ends. */
  async stop(): Promise<void> {
    this.#process.kill('SIGTERM');
    await this.#ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

function qemuArguments(options: QemuBootOptions): string[] {
  const { image, format, device = 'hda', memory = 128, snapshot = false } = options;
  // In a value of QEMU's options a comma is written twice.
  const file = image.replaceAll(',', ',,');
  const media = device === 'cdrom' ? 'cdrom' : 'disk';
  const drive = `file=${file},format=${format},if=ide,media=${media}`;
  const machine = ['-nodefaults', '-no-reboot', ...flags({ m: memory, display: 'none', vga: 'std', serial: 'stdio' })];
  return [...machine, '-drive', drive, ...(snapshot ? ['-snapshot'] : [])];
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      format: { type: 'string', default: 'raw' },
      device: { type: 'string', default: 'hda' },
      ready: { type: 'string', default: 'GUEST-READY' },
      prompt: { type: 'string', default: 'guest# ' },
      memory: { type: 'string', default: '128' },
      snapshot: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
    },
  });
  const [image, ...commands] = positionals;
  if (image === undefined)
    throw new Error('Which image? node scripts/guest/qemu-boot.ts <image> [options] [command ...]');
  await using guest = new QemuGuest({
    image,
    format: values.format,
    device: values.device === 'cdrom' ? 'cdrom' : 'hda',
    memory: Number(values.memory),
    snapshot: values.snapshot,
    ...(values.verbose && { onOutput: (bytes) => process.stdout.write(bytes) }),
  });
  await guest.console.until(values.ready);
  await guest.console.until(values.prompt);
  for (const command of commands) console.log(await guest.console.command(command, values.prompt));
}

if (import.meta.main) await main();

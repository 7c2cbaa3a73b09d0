// On the page: how long a guest takes from nothing to its prompt, with its disk from Spindle or from v86's own loader.
import { V86 } from 'v86';
import wasmUrl from 'v86/build/v86.wasm?url';
import type { DemoImage, DemoManifest } from '../../scripts/guest/manifest.ts';
import { connect } from '../../src/client/index.ts';
import { attachDrives, v86Disk } from '../../src/emulator/v86/index.ts';

export interface BootOrder {
  readonly image: DemoImage['id'];
  readonly side: 'spindle' | 'v86';
  /** Part of the image's address: what an earlier boot left in the browser's cache is of no use. */
  readonly visit: string;
}

/** The image that v86 is given: its own kind, or an object that behaves like one. */
type Image = { buffer: ArrayBuffer } | { url: string; async: true; size: number };

const TIMEOUT_MS = 180_000;

/** @returns milliseconds from the opening of the disk to the guest's prompt */
export async function measureBoot({ image: id, side, visit }: BootOrder): Promise<number> {
  const manifest = (await (await fetch('demo/demo.json')).json()) as DemoManifest;
  const image = manifest.images.find((candidate) => candidate.id === id)!;
  const [seabios, vgabios] = await Promise.all([
    load(`demo/${manifest.bios.seabios}`),
    load(`demo/${manifest.bios.vgabios}`),
    load(wasmUrl),
  ]);
  const url = new URL(`demo/${image.file}?${visit}`, document.baseURI).href;
  const started = performance.now();
  const machine = (disk: Image): V86 =>
    new V86({
      wasm_path: wasmUrl,
      bios: { buffer: seabios },
      vga_bios: { buffer: vgabios },
      memory_size: image.memory,
      vga_memory_size: 2 ** 21,
      hda: disk,
      disable_speaker: true,
      autostart: true,
    });
  if (side === 'v86') {
    const emulator = machine({ url, async: true, size: image.size });
    await promptOf(emulator, image);
    const took = performance.now() - started;
    await emulator.destroy();
    return took;
  }
  const spindle = await connect();
  const file = { driver: 'opfs', path: `bench/boot-${visit}.qcow2` } as const;
  await spindle.create({ driver: 'qcow2', file, size: image.size, backing_file: 'base', backing_fmt: 'raw' });
  const disk = await spindle.open({ driver: 'qcow2', file, backing: { driver: 'raw', file: { driver: 'http', url } } });
  const emulator = machine(v86Disk(disk));
  const drives = await attachDrives(emulator);
  await promptOf(emulator, image);
  const took = performance.now() - started;
  await emulator.stop();
  await drives.detach();
  await emulator.destroy();
  await spindle.close();
  return took;
}

async function load(url: string): Promise<ArrayBuffer> {
  return (await fetch(url)).arrayBuffer();
}

/** Resolves when the guest has said that it is ready, and then shows its prompt. */
function promptOf(emulator: V86, { id, ready, prompt }: DemoImage): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(
      () => reject(new Error(`${id} showed no prompt; it wrote: ${text.slice(-500)}`)),
      TIMEOUT_MS,
    );
    emulator.add_listener('serial0-output-byte', (byte) => {
      text += String.fromCharCode(byte);
      const said = text.indexOf(ready);
      if (said < 0 || !text.includes(prompt, said)) return;
      clearTimeout(timer);
      resolve();
    });
  });
}

// A worker with the block layer and the emulator side by side: a read of the guest is a function call.
import { V86 } from 'v86';
import wasmUrl from 'v86/build/v86.wasm?url';
import { BlockError, BlockGraph } from '../../src/block/index.ts';
import { attachDrives, v86DiskSync, type V86Drives } from '../../src/emulator/v86/index.ts';
import { workerDrivers } from '../../src/worker/entry.ts';
import type { WorkerMachineOrder } from './calls.ts';
import { serialWriter, VGA_MEMORY_BYTES } from './page-parts.ts';
import type { FromWorkerMachine, ToWorkerMachine } from './page-worker-machine.ts';

const tell = (message: FromWorkerMachine): void => self.postMessage(message);
let emulator: V86 | undefined;
let drives: V86Drives | undefined;

self.onmessage = ({ data }: MessageEvent<ToWorkerMachine>) => {
  if ('typed' in data) emulator?.serial0_send(data.typed);
  // Both tell the page of their failures.
  else if ('flush' in data) void answering(async () => drives?.flush());
  else void answering(() => boot(data.start, data.page)); // as above
};

async function answering(task: () => Promise<void>): Promise<void> {
  try {
    await task();
    tell({ done: true });
  } catch (error) {
    tell({ failed: error instanceof BlockError ? `${error.kind}: ${error.describe()}` : String(error) });
  }
}

async function boot({ disk: options, memory }: WorkerMachineOrder, page: string): Promise<void> {
  const graph = new BlockGraph(workerDrivers);
  const backend = await graph.open({ ...options } as Parameters<BlockGraph['open']>[0]);
  if (!backend.synchronous) throw new Error('The graph below the disk is not synchronous');
  emulator = new V86({
    wasm_path: wasmUrl,
    bios: { url: new URL('demo/bios/seabios.bin', page).href },
    vga_bios: { url: new URL('demo/bios/vgabios.bin', page).href },
    memory_size: memory,
    vga_memory_size: VGA_MEMORY_BYTES,
    hda: v86DiskSync(backend, { flushAfter: 0 }),
    disable_speaker: true,
    autostart: false,
  });
  const write = serialWriter((written) => tell({ written }));
  emulator.add_listener('serial0-output-byte', write);
  drives = await attachDrives(emulator);
  await emulator.run();
}

// On the page: reads through the client against a bare message to a worker that reads the same file.
import { connect } from '../../src/client/index.ts';
import { pairedRoundsAsync, randomOffsets, type PairedTimes } from '../rounds.ts';
import type { PortReply, PortRequest } from './port.worker.ts';

export interface PortTimes extends PairedTimes {
  readonly format: string;
  readonly length: number;
}

const DISK_BYTES = 128 * 2 ** 20;
const SIZES = [
  { length: 4096, times: 50 },
  { length: 65_536, times: 50 },
  { length: 2 ** 20, times: 20 },
];

export async function measurePort(): Promise<PortTimes[]> {
  const bare = await startBareWorker();
  const spindle = await connect();
  const results: PortTimes[] = [];
  for (const format of ['raw', 'qcow2'] as const) {
    const file = { driver: 'opfs', path: `bench/port.${format}` } as const;
    await spindle.create({ driver: format, file, size: DISK_BYTES }, { overwrite: true });
    const disk = await spindle.open({ driver: format, file });
    const chunk = new Uint8Array(2 ** 20).fill(0xa7);
    for (let offset = 0; offset < disk.size; offset += chunk.length) await disk.write(offset, chunk);
    await disk.flush();
    for (const { length, times } of SIZES) {
      const offsets = randomOffsets(DISK_BYTES, length);
      let ours: Uint8Array<ArrayBuffer> = new Uint8Array(length);
      let limit = new ArrayBuffer(length);
      const rounds = await pairedRoundsAsync(
        101,
        {
          times,
          run: async (index) => {
            limit = await bare.read(offsets[index & 65_535]!, limit);
          },
        },
        {
          times,
          run: async (index) => {
            ours = await disk.read(offsets[index & 65_535]!, length, { into: ours });
          },
        },
      );
      results.push({ format, length, ...rounds });
    }
    await disk.close();
  }
  await spindle.close();
  bare.end();
  return results;
}

/** The limit: nothing but the message, the read and the message back. The buffer goes both ways. */
async function startBareWorker() {
  const worker = new Worker(new URL('./port.worker.ts', import.meta.url), { type: 'module' });
  const { port1: port, port2 } = new MessageChannel();
  let answered: (buffer: ArrayBuffer) => void = () => undefined;
  const next = () =>
    new Promise<ArrayBuffer>((resolve) => {
      answered = resolve;
    });
  port.onmessage = ({ data }: MessageEvent<PortReply>) => answered(data.buffer);
  const failed = new Promise<never>((_resolve, reject) => {
    worker.addEventListener('error', (event) => reject(new Error(`the bare worker failed: ${event.message}`)));
  });
  const ready = next();
  worker.postMessage({ port: port2, size: DISK_BYTES }, [port2]);
  await Promise.race([ready, failed]);
  return {
    read: (offset: number, buffer: ArrayBuffer) => {
      const reply = next();
      port.postMessage({ offset, buffer } satisfies PortRequest, [buffer]);
      return reply;
    },
    end: () => worker.terminate(),
  };
}

// The bare worker: reads an OPFS file into the buffer that came with the message and sends it back.
import { openFilledHandle } from './handle.ts';

export interface PortRequest {
  readonly offset: number;
  readonly buffer: ArrayBuffer;
}

export interface PortReply {
  readonly buffer: ArrayBuffer;
}

addEventListener('message', (event: MessageEvent<{ readonly port: MessagePort; readonly size: number }>) => {
  const { port, size } = event.data;
  // The page hears of it as the worker's error.
  serve(port, size).catch((error: unknown) => reportError(error));
});

async function serve(port: MessagePort, size: number): Promise<void> {
  const handle = await openFilledHandle('bench/port-limit.img', size);
  port.onmessage = ({ data: { offset, buffer } }: MessageEvent<PortRequest>) => {
    handle.read(new Uint8Array(buffer), { at: offset });
    port.postMessage({ buffer } satisfies PortReply, [buffer]);
  };
  port.postMessage({ buffer: new ArrayBuffer(0) } satisfies PortReply);
}

/** An export as a stream: each pull asks the worker for one piece, so a slow reader holds the worker back. */
import type { BlockError } from '../block/error.ts';
import type { OpenedExport } from '../worker/api.ts';
import { unpackError } from '../worker/transfer.ts';
import { CANCEL_EXPORT, NEXT_PIECE, type PieceMessage } from '../worker/wire.ts';
import type { CallOptions } from './call.ts';
import { abortedError } from './data-port.ts';
import type { WorkerLink } from './link.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** @param options a signal that ends the stream with kind `aborted`, and progress in bytes of the file */
export function exportStream(opened: OpenedExport, link: WorkerLink, options: CallOptions): ReadableStream<Bytes> {
  const { pieces, totalBytes } = opened;
  const { signal, onProgress } = options;
  let fail: (error: BlockError) => void = () => undefined;
  const onAbort = (): void => fail(abortedError(signal!, 'export'));
  const forgetLink = link.onEnd((error) => fail(error));
  const finish = (): void => {
    forgetLink();
    signal?.removeEventListener('abort', onAbort);
    pieces.close();
  };

  return new ReadableStream<Bytes>({
    start: (controller) => {
      fail = (error) => {
        pieces.postMessage(CANCEL_EXPORT);
        finish();
        controller.error(error);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted === true) onAbort();
    },
    pull: (controller) =>
      new Promise<void>((resolve) => {
        pieces.onmessage = ({ data }: MessageEvent<PieceMessage>) => {
          resolve();
          if ('error' in data) {
            finish();
            controller.error(unpackError(data.error));
          } else if (data.piece === undefined) {
            finish();
            controller.close();
          } else {
            onProgress?.(data.doneBytes, totalBytes);
            controller.enqueue(data.piece);
          }
        };
        pieces.postMessage(NEXT_PIECE);
      }),
    cancel: () => {
      pieces.postMessage(CANCEL_EXPORT);
      finish();
    },
  });
}

/** The worker's end of an export: makes a piece of the file each time the page asks for one, so that nothing piles up. */
import type { ImageExport } from '../block/image/export.ts';
import { packError } from './transfer.ts';
import { CANCEL_EXPORT, type PieceMessage } from './wire.ts';

/** Gives the pieces of an export away over a port. The disk stands still until the end, or until the page cancels. */
export class ExportPort {
  readonly #source: ImageExport;
  readonly #port: MessagePort;
  readonly #onEnd: () => void;
  #doneBytes = 0;

  /** @param onEnd is called once, when the export is over for whatever reason */
  constructor(source: ImageExport, port: MessagePort, onEnd: () => void) {
    this.#source = source;
    this.#port = port;
    this.#onEnd = onEnd;
    port.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (data === CANCEL_EXPORT) this.close();
      // It reports its own failure to the page.
      else void this.#sendNext();
    };
  }

  close(): void {
    this.#source.close();
    this.#port.close();
    this.#onEnd();
  }

  async #sendNext(): Promise<void> {
    let message: PieceMessage;
    try {
      const piece = await this.#source.next();
      this.#doneBytes += piece?.length ?? 0;
      message = { piece: piece === undefined ? undefined : ownBuffer(piece), doneBytes: this.#doneBytes };
    } catch (error) {
      message = { error: packError(error) };
    }
    const piece = 'piece' in message ? message.piece : undefined;
    this.#port.postMessage(message, piece === undefined ? [] : [piece.buffer]);
    if (piece === undefined) this.close();
  }
}

/** A piece in a buffer that nothing else looks into, so that it can be given away. */
function ownBuffer(piece: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = piece;
  const isWhole = buffer instanceof ArrayBuffer && buffer.byteLength === piece.length;
  return isWhole ? new Uint8Array(buffer) : new Uint8Array(piece);
}

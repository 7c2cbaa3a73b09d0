import type { ByteSource } from '../../../codec/byte-source.ts';
import { XzSource } from '../../../codec/xz-source.ts';
import { settle, start, type Co, type MaybePromise } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { PackedFile } from './packed-file.ts';
import type { XzStream } from './xz.ts';

/** What all streams of an xz file become, one behind the other. */
export class XzStreams implements ByteSource {
  readonly #file: BlockChild;
  readonly #streams: readonly XzStream[];
  #number = -1;
  #packed: PackedFile | undefined;
  #current: XzSource | undefined;
  /** What the current stream has yet to become, by its index. */
  #left = 0;

  constructor(file: BlockChild, streams: readonly XzStream[]) {
    this.#file = file;
    this.#streams = streams;
  }

  /** How far the file has been read. */
  get position(): number {
    return this.#packed?.position ?? 0;
  }

  next(): MaybePromise<Uint8Array | undefined> {
    return start(this.#next());
  }

  close(): MaybePromise<void> {
    return this.#current?.close();
  }

  *#next(): Co<Uint8Array | undefined> {
    for (;;) {
      const piece = this.#current === undefined ? undefined : yield* settle(this.#current.next());
      this.#left -= piece?.length ?? 0;
      if (this.#left < 0 || (piece === undefined && this.#left > 0)) {
        throw new BlockError(
          'corrupt',
          `The xz file is broken: stream ${this.#number} is not as long as its index says`,
        );
      }
      if (piece !== undefined) return piece;
      const stream = this.#streams[this.#number + 1];
      if (stream === undefined) return undefined;
      yield* settle(this.#current?.close());
      this.#number++;
      this.#left = stream.size;
      this.#packed = new PackedFile(this.#file, stream.offset, stream.length);
      this.#current = new XzSource(this.#packed);
    }
  }
}

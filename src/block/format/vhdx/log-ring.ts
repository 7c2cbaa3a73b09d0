/** The log's bytes: a ring, so that what reaches behind its end goes on at its start. */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import type { VhdxHeader } from './header.ts';

export class LogRing {
  /** Bytes. */
  readonly length: number;
  readonly #file: BlockChild;
  readonly #offset: number;

  constructor(file: BlockChild, { logOffset, logLength }: VhdxHeader) {
    this.#file = file;
    this.#offset = logOffset;
    this.length = logLength;
  }

  after(position: number, length: number): number {
    return (position + length) % this.length;
  }

  /** @param bytes at most as many as the log has */
  *read(position: number, bytes: Uint8Array): Co<void> {
    const straight = Math.min(bytes.length, this.length - position);
    yield* settle(this.#file.read(this.#offset + position, bytes.subarray(0, straight)));
    if (straight < bytes.length) yield* settle(this.#file.read(this.#offset, bytes.subarray(straight)));
  }

  *write(position: number, bytes: Uint8Array): Co<void> {
    const straight = Math.min(bytes.length, this.length - position);
    yield* settle(this.#file.write(this.#offset + position, bytes.subarray(0, straight)));
    if (straight < bytes.length) yield* settle(this.#file.write(this.#offset, bytes.subarray(straight)));
  }
}

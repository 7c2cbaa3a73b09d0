/** A disk that tells how much of what was written is not flushed yet. */
import type { Disk } from '../../client/index.ts';
import type { EmulatorDisk } from '../../emulator/v86/index.ts';

export class MeteredDisk implements EmulatorDisk {
  readonly #disk: Disk;
  readonly #onUnflushed: () => void;
  readonly #onFlush: () => void;
  /** Bytes of writes that are on their way, that were answered since the last flush began, and that a flush now takes along. */
  #inFlight = 0;
  #written = 0;
  #flushing = 0;

  constructor(disk: Disk, onUnflushed: () => void, onFlush: () => void) {
    this.#disk = disk;
    this.#onUnflushed = onUnflushed;
    this.#onFlush = onFlush;
  }

  get size(): number {
    return this.#disk.size;
  }

  get readOnly(): boolean {
    return this.#disk.readOnly;
  }

  get unflushed(): number {
    return this.#inFlight + this.#written + this.#flushing;
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    return this.#disk.read(offset, length);
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    await this.#counted(data.length, this.#disk.write(offset, data));
  }

  async discard(offset: number, length: number): Promise<void> {
    await this.#counted(length, this.#disk.discard(offset, length));
  }

  async flush(): Promise<void> {
    const taken = this.#written;
    this.#flushing += taken;
    this.#written = 0;
    try {
      await this.#disk.flush();
    } catch (error) {
      this.#written += taken;
      throw error;
    } finally {
      this.#flushing -= taken;
      this.#onUnflushed();
    }
    this.#onFlush();
  }

  async #counted(bytes: number, request: Promise<void>): Promise<void> {
    this.#inFlight += bytes;
    this.#onUnflushed();
    try {
      await request;
      this.#written += bytes;
    } finally {
      this.#inFlight -= bytes;
    }
  }
}

/**
 * Watches what a drive gives its guest: wherever the guest has not written, it must be what the base image holds. An error is
 * fine; zeroes, or the bytes of another place, are not.
 */
import type { EmulatorDisk, V86Disk } from '../../src/emulator/v86/index.ts';
import type { WitnessReport } from './calls.ts';

const SECTOR_BYTES = 512;
const MAX_WRONG_KEPT = 20;

export class ReadWitness {
  readonly #image: Uint8Array;
  readonly #written = new Set<number>();
  readonly #wrong: number[] = [];
  #compared = 0;

  private constructor(image: Uint8Array) {
    this.#image = image;
  }

  /** Takes a copy of the image that has nothing to do with Spindle. */
  static async load(url: string): Promise<ReadWitness> {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`No ${url} for the witness: ${response.status}`);
    return new ReadWitness(new Uint8Array(await response.arrayBuffer()));
  }

  /** The same disk, with an eye on where it is written. */
  watch(disk: EmulatorDisk): EmulatorDisk {
    return {
      size: disk.size,
      readOnly: disk.readOnly,
      read: (offset, length) => disk.read(offset, length),
      write: (offset, data) => {
        this.#markWritten(offset, data.length);
        return disk.write(offset, data);
      },
      flush: () => disk.flush(),
      discard: async (offset, length) => {
        this.#markWritten(offset, length);
        await disk.discard?.(offset, length);
      },
    };
  }

  /** Looks at each answer on its way to the guest, past every cache. */
  watchDrive(drive: V86Disk): void {
    const get = drive.get.bind(drive);
    drive.get = (offset, length, answer, options) => {
      const look = (data: Uint8Array): void => {
        this.#compare(offset, data);
        answer(data);
      };
      get(offset, length, look, options);
    };
  }

  report(): WitnessReport {
    return { sectorsCompared: this.#compared, wrongSectors: this.#wrong };
  }

  #markWritten(offset: number, length: number): void {
    const end = Math.ceil((offset + length) / SECTOR_BYTES);
    for (let sector = Math.floor(offset / SECTOR_BYTES); sector < end; sector += 1) this.#written.add(sector);
  }

  /** An aborted read is answered with no bytes. */
  #compare(offset: number, data: Uint8Array): void {
    for (let at = 0; at + SECTOR_BYTES <= data.length; at += SECTOR_BYTES) {
      const sector = (offset + at) / SECTOR_BYTES;
      if (this.#written.has(sector)) continue;
      this.#compared += 1;
      if (this.#holds(sector, data, at) || this.#wrong.length >= MAX_WRONG_KEPT) continue;
      this.#wrong.push(sector);
    }
  }

  #holds(sector: number, data: Uint8Array, at: number): boolean {
    const start = sector * SECTOR_BYTES;
    for (let index = 0; index < SECTOR_BYTES; index += 1) {
      if (data[at + index] !== this.#image[start + index]) return false;
    }
    return true;
  }
}

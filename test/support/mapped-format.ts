/**
 * The smallest format that allocates: a table in memory from guest units to host units, with an optional backing file. It checks
 * what the core promises to formats: no two requests are in one unit at a time when one of them changes the mapping.
 */
import type { Co, MaybePromise } from '../../src/block/co.ts';
import {
  NO_CAPABILITIES,
  BYTE_LIMITS,
  type Allocation,
  type BlockChild,
  type FileReference,
  type FormatDriver,
  type FormatImage,
  type FormatInfo,
} from '../../src/block/driver.ts';
import { backingExtent, dataExtent, zeroExtent, type Extent } from '../../src/block/extent.ts';
import type { OptionSchema } from '../../src/block/options.ts';

export const UNIT = 4096;

const openOptions = {
  size: { type: 'size', help: 'virtual size', required: true },
  'names-backing': { type: 'string', help: 'the backing file that the image names' },
  'may-wait': { type: 'boolean', help: 'whether looking up the table waits', default: false },
} as const satisfies OptionSchema;

export const mapped: FormatDriver<typeof openOptions, Record<string, never>> = {
  kind: 'format',
  name: 'mapped',
  capabilities: { ...NO_CAPABILITIES, write: true, backing: true },
  openOptions,
  createOptions: {},
  probe: ({ head }) => (head[0] === 0x4d && head[1] === 0x50 ? 100 : 0),
  // oxlint-disable-next-line require-yield
  *open({ file, options }): Co<FormatImage> {
    const reference = options['names-backing'];
    return new MappedImage(
      file,
      options.size,
      reference === undefined ? undefined : { filename: reference, format: 'raw' },
      options['may-wait'],
    );
  },
};

export class MappedImage implements FormatImage {
  readonly virtualSize: number;
  readonly limits = BYTE_LIMITS;
  readonly allocationUnit = UNIT;
  readonly backing: FileReference | undefined;
  readonly hasZeroInit = true;
  /** Host offset of each guest unit; 'zero' where it was marked zero. */
  readonly table = new Map<number, number | 'zero'>();
  readonly #file: BlockChild;
  readonly #mayWait: boolean;
  readonly #inAllocation = new Set<number>();
  #end = 0;

  constructor(file: BlockChild, size: number, backing: FileReference | undefined, mayWait: boolean) {
    this.#file = file;
    this.virtualSize = size;
    this.backing = backing;
    this.#mayWait = mayWait;
  }

  map(offset: number, length: number): MaybePromise<Extent> {
    const unit = Math.floor(offset / UNIT);
    const inUnit = Math.min(length, (unit + 1) * UNIT - offset);
    const place = this.table.get(unit);
    const extent =
      place === undefined
        ? backingExtent(inUnit)
        : place === 'zero'
          ? zeroExtent(inUnit)
          : dataExtent(this.#file, place + (offset % UNIT), inUnit, true);
    return this.#mayWait ? Promise.resolve(extent) : extent;
  }

  allocate(offset: number, length: number): Allocation {
    const unit = Math.floor(offset / UNIT);
    if (this.#inAllocation.has(unit)) throw new Error(`two requests allocate unit ${unit} at the same time`);
    this.#inAllocation.add(unit);
    const place = this.#end;
    this.#end += UNIT;
    const copyBefore = offset % UNIT;
    const covered = Math.min(length, UNIT - copyBefore);
    return {
      child: this.#file,
      hostOffset: place + copyBefore,
      length: covered,
      copyBefore,
      copyAfter: UNIT - copyBefore - covered,
      zeroed: false,
      commit: () => {
        this.#inAllocation.delete(unit);
        this.table.set(unit, place);
      },
      abort: () => {
        this.#inAllocation.delete(unit);
      },
    };
  }

  markZero(offset: number, length: number): number {
    for (let unit = offset / UNIT; unit * UNIT < offset + length; unit++) {
      if (this.#inAllocation.has(unit)) throw new Error(`unit ${unit} is made zero while it is being allocated`);
      this.table.set(unit, 'zero');
    }
    return length;
  }

  discard(offset: number, length: number): number {
    return this.markZero(offset, length);
  }

  info(): FormatInfo {
    return { format: 'mapped', virtualSize: this.virtualSize, specific: {} };
  }

  close(): void {
    if (this.#inAllocation.size > 0)
      throw new Error('closed with an allocation that was neither committed nor aborted');
  }
}

/** QEMU's null-co: a disk that holds nothing, to measure everything else with. */
import { BYTE_LIMITS, type OpenFlags, type ProtocolDriver, type Storage } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import { attempt } from '../shared/attempt.ts';
import { closedError, readOnlyError } from '../shared/errors.ts';

const PREFIX = 'null-co://';
const NANOSECONDS_PER_MILLISECOND = 1_000_000;

/**
 * What reads give without `read-zeroes`. QEMU leaves the buffer as it is; here nobody is ever shown another's bytes, so it gets
 * a pattern that is easy to recognise.
 */
export const UNREAD_BYTE = 0x6e;

const schema = {
  size: { type: 'size', default: 1073741824, help: 'Bytes of the disk' },
  'latency-ns': { type: 'number', default: 0, help: 'Nanoseconds that each request takes, to the millisecond' },
  'read-zeroes': {
    type: 'boolean',
    default: false,
    help: "Whether reads give zeroes; else they give bytes of 'n' (0x6e)",
  },
} as const satisfies OptionSchema;

/** Writes are forgotten, reads are zeroes or a pattern. Options and defaults are those of QEMU's driver. */
export const nullCoProtocol: ProtocolDriver<typeof schema> = {
  kind: 'protocol',
  name: 'null-co',
  options: schema,
  isAvailable: () => true,
  parseFilename: (filename) => {
    if (!filename.startsWith('null-co:')) return undefined;
    if (filename === PREFIX) return { driver: 'null-co' };
    throw new BlockError('invalid', `The only allowed filename for this driver is '${PREFIX}'`, { filename });
  },
  filename: () => PREFIX,
  open: (options, flags) =>
    attempt(() => (options['latency-ns'] === 0 ? new NullStorage(options, flags) : delayed(options, flags))),
};

class NullStorage implements Storage {
  readonly synchronous = true;
  readonly limits = BYTE_LIMITS;
  readonly readOnly: boolean;
  readonly #fill: number;
  readonly #readZeroes: boolean;
  #length: number;
  #open = true;

  constructor(options: OptionValues<typeof schema>, { readOnly }: OpenFlags) {
    this.readOnly = readOnly;
    this.#length = options.size;
    this.#readZeroes = options['read-zeroes'];
    this.#fill = this.#readZeroes ? 0 : UNREAD_BYTE;
  }

  getLength(): number {
    this.#refuseClosed();
    return this.#length;
  }

  read(offset: number, buffer: Uint8Array): void {
    this.#refuseClosed();
    const inside = Math.max(0, Math.min(buffer.length, this.#length - offset));
    buffer.fill(this.#fill, 0, inside).fill(0, inside);
  }

  write(offset: number, data: Uint8Array): void {
    this.#refuseReadOnly('write');
    if (data.length > 0) this.#length = Math.max(this.#length, offset + data.length);
  }

  blockStatus(offset: number, length: number): { readonly length: number; readonly zero: boolean } {
    this.#refuseClosed();
    const inside = Math.max(0, Math.min(length, this.#length - offset));
    return inside === 0 ? { length, zero: true } : { length: inside, zero: this.#readZeroes };
  }

  truncate(length: number): void {
    this.#refuseReadOnly('truncate');
    this.#length = length;
  }

  flush(): void {
    this.#refuseClosed();
  }

  allocatedSize(): number {
    return 0;
  }

  close(): void {
    this.#open = false;
  }

  #refuseClosed(): void {
    if (!this.#open) throw closedError('null-co', PREFIX);
  }

  #refuseReadOnly(op: string): void {
    this.#refuseClosed();
    if (this.readOnly) throw readOnlyError('null-co', PREFIX, op);
  }
}

/** The same with each request answered after a while. */
function delayed(options: OptionValues<typeof schema>, flags: OpenFlags): Storage {
  const storage = new NullStorage(options, flags);
  const pause = () =>
    new Promise<void>((resolve) => {
      setTimeout(resolve, options['latency-ns'] / NANOSECONDS_PER_MILLISECOND);
    });
  return {
    synchronous: false,
    readOnly: storage.readOnly,
    limits: storage.limits,
    getLength: () => storage.getLength(),
    read: (offset, buffer) => pause().then(() => storage.read(offset, buffer)),
    write: (offset, data) => pause().then(() => storage.write(offset, data)),
    blockStatus: (offset, length) => storage.blockStatus(offset, length),
    truncate: (length) => storage.truncate(length),
    flush: () => pause().then(() => storage.flush()),
    allocatedSize: () => storage.allocatedSize(),
    close: () => storage.close(),
  };
}

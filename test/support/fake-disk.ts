/** A disk for an emulator's adapter, under the test's control: every request can be held, failed, and is logged. */
import type { EmulatorDisk, SynchronousDisk } from '../../src/emulator/disk.ts';

export type LogEntry =
  | readonly ['read' | 'write' | 'write done' | 'discard', number, number]
  | readonly ['flush' | 'flush done'];

type Hook = (offset: number, length: number) => Promise<void> | void;

export class FakeDisk implements EmulatorDisk {
  readonly bytes: Uint8Array;
  readOnly = false;
  readonly log: LogEntry[] = [];
  /** What a request waits for, or fails with, before it touches the bytes. */
  onRead: Hook | undefined;
  onWrite: Hook | undefined;
  onFlush: (() => Promise<void> | void) | undefined;
  onDiscard: Hook | undefined;

  constructor(bytes: Uint8Array | number) {
    this.bytes = typeof bytes === 'number' ? patterned(bytes) : bytes;
  }

  get size(): number {
    return this.bytes.length;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.log.push(['read', offset, length]);
    await this.onRead?.(offset, length);
    return this.bytes.slice(offset, offset + length);
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    this.log.push(['write', offset, data.length]);
    await this.onWrite?.(offset, data.length);
    this.bytes.set(data, offset);
    this.log.push(['write done', offset, data.length]);
  }

  async flush(): Promise<void> {
    this.log.push(['flush']);
    await this.onFlush?.();
    this.log.push(['flush done']);
  }

  async discard(offset: number, length: number): Promise<void> {
    this.log.push(['discard', offset, length]);
    await this.onDiscard?.(offset, length);
    this.bytes.fill(0, offset, offset + length);
  }

  /** The log's entries of one kind. */
  logged(kind: LogEntry[0]): LogEntry[] {
    return this.log.filter((entry) => entry[0] === kind);
  }
}

/** The same in one thread. */
export class FakeSynchronousDisk implements SynchronousDisk {
  readonly bytes: Uint8Array;
  readonly readOnly = false;
  readonly log: LogEntry[] = [];
  /** Throws to fail a request. */
  onRequest: ((operation: string) => void) | undefined;

  constructor(bytes: Uint8Array | number) {
    this.bytes = typeof bytes === 'number' ? patterned(bytes) : bytes;
  }

  get size(): number {
    return this.bytes.length;
  }

  readSync(offset: number, buffer: Uint8Array): void {
    this.log.push(['read', offset, buffer.length]);
    this.onRequest?.('read');
    buffer.set(this.bytes.subarray(offset, offset + buffer.length));
  }

  writeSync(offset: number, data: Uint8Array): void {
    this.log.push(['write', offset, data.length]);
    this.onRequest?.('write');
    this.bytes.set(data, offset);
  }

  flushSync(): void {
    this.log.push(['flush']);
    this.onRequest?.('flush');
  }

  discardSync(offset: number, length: number): void {
    this.log.push(['discard', offset, length]);
    this.onRequest?.('discard');
    this.bytes.fill(0, offset, offset + length);
  }
}

/** Every sector holds other bytes. */
export function patterned(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 1) bytes[at] = (at * 7 + Math.floor(at / 512) * 13) & 0xff;
  return bytes;
}

/** A promise that the test settles. */
export interface Held {
  readonly promise: Promise<void>;
  release(): void;
  fail(error: unknown): void;
}

export function held(): Held {
  let release = (): void => {};
  let fail: (error: unknown) => void = () => {};
  const promise = new Promise<void>((resolve, reject) => {
    release = resolve;
    fail = reject;
  });
  return { promise, release, fail };
}

/** Lets everything happen that does not wait for a held promise. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) {
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  }
}

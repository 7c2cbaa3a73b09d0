/** A storage that holds requests back until a test lets them go: what is waiting at one moment is what is in flight together. */
import { BYTE_LIMITS, type Storage } from '../../src/block/driver.ts';
import type { SparseBytes } from './sparse-bytes.ts';

export interface HeldRequest {
  readonly kind: 'read' | 'write' | 'flush';
  readonly offset: number;
  readonly length: number;
}

export class HoldingStorage implements Storage {
  readonly synchronous = false;
  readonly readOnly = false;
  readonly limits = BYTE_LIMITS;
  readonly content: SparseBytes;
  readonly #waiting: { readonly request: HeldRequest; readonly finish: () => void }[] = [];
  #holds: (request: HeldRequest) => boolean = () => false;

  constructor(initial: SparseBytes) {
    this.content = initial.copy();
  }

  /** Requests that wait now. */
  get held(): readonly HeldRequest[] {
    return this.#waiting.map(({ request }) => request);
  }

  /** From now on such requests wait. What waits already goes on waiting. */
  hold(which: (request: HeldRequest) => boolean): void {
    this.#holds = which;
  }

  /** Lets everything go that waits, in turn, and holds nothing any more. */
  release(): void {
    this.#holds = () => false;
    for (const { finish } of this.#waiting.splice(0)) finish();
  }

  getLength(): number {
    return this.content.length;
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    return this.#answer({ kind: 'read', offset, length: buffer.length }, () => this.content.read(offset, buffer));
  }

  write(offset: number, data: Uint8Array): Promise<void> {
    return this.#answer({ kind: 'write', offset, length: data.length }, () => this.content.write(offset, data));
  }

  truncate(length: number): Promise<void> {
    this.content.truncate(length);
    return Promise.resolve();
  }

  flush(): Promise<void> {
    return this.#answer({ kind: 'flush', offset: 0, length: 0 }, () => undefined);
  }

  close(): void {
    // A test may open it again.
  }

  #answer(request: HeldRequest, act: () => void): Promise<void> {
    return new Promise((resolve) => {
      const finish = (): void => {
        act();
        resolve();
      };
      if (this.#holds(request)) this.#waiting.push({ request, finish });
      else finish();
    });
  }
}

/** Lets everything run that does not wait for a storage. */
export async function settleDown(): Promise<void> {
  for (let turn = 0; turn < 200; turn++) await Promise.resolve();
  await new Promise((resolve) => setTimeout(resolve, 0));
}

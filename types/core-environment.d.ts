// All that the core may use beyond ECMAScript: what every browser, every worker and Node have alike.
// Adding a line here widens what the core asks of its host, so each wants a reason.

declare class TextEncoder {
  encode(input?: string): Uint8Array<ArrayBuffer>;
  encodeInto(source: string, destination: Uint8Array): { read: number; written: number };
}

declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  decode(input?: ArrayBuffer | ArrayBufferView): string;
}

/** Request statistics and time slices. */
declare const performance: { now(): number };

/** A key that WebCrypto keeps to itself. */
interface WebCryptoKey {
  readonly type: string;
}

/** Identities, digests, and keys from passphrases. */
declare const crypto: {
  getRandomValues<T extends ArrayBufferView>(array: T): T;
  randomUUID(): string;
  readonly subtle: {
    digest(algorithm: string, data: ArrayBuffer | ArrayBufferView): Promise<ArrayBuffer>;
    importKey(
      format: 'raw',
      data: ArrayBufferView,
      algorithm: 'PBKDF2',
      extractable: false,
      usages: readonly ['deriveBits'],
    ): Promise<WebCryptoKey>;
    deriveBits(
      algorithm: { name: 'PBKDF2'; hash: string; salt: ArrayBufferView; iterations: number },
      key: WebCryptoKey,
      bits: number,
    ): Promise<ArrayBuffer>;
  };
};

/** Cancelling long work. */
interface AbortSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  throwIfAborted(): void;
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}
declare const AbortSignal: { abort(reason?: unknown): AbortSignal; any(signals: Iterable<AbortSignal>): AbortSignal };

/** Letting the event loop run without the four milliseconds that nested timers cost. */
interface MessagePort {
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  postMessage(message: unknown): void;
  close(): void;
}
declare class MessageChannel {
  readonly port1: MessagePort;
  readonly port2: MessagePort;
}

declare function queueMicrotask(callback: () => void): void;
declare function setTimeout(callback: () => void, delayMs?: number): unknown;
declare function clearTimeout(timer: unknown): void;

/** Resolving an image's relative references. */
declare class URL {
  constructor(url: string, base?: string);
  readonly href: string;
  readonly protocol: string;
  readonly pathname: string;
  static canParse(url: string, base?: string): boolean;
}

/** The library that unpacks xz takes and gives streams of the platform. */
interface ReadableStreamDefaultReader<T> {
  read(): Promise<{ readonly done: boolean; readonly value?: T }>;
  cancel(reason?: unknown): Promise<void>;
}
interface ReadableStreamDefaultController<T> {
  enqueue(chunk: T): void;
  close(): void;
  error(reason: unknown): void;
}
declare class ReadableStream<T> {
  constructor(
    source: { pull(controller: ReadableStreamDefaultController<T>): Promise<void> },
    strategy?: { readonly highWaterMark: number },
  );
  getReader(): ReadableStreamDefaultReader<T>;
}

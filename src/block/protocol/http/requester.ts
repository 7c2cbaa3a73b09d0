/** Requests to one URL: with a timeout, tried again when that may help, ended by closing, and counted. */
import { BlockError } from '../../error.ts';
import type { HttpEnvironment } from './environment.ts';
import { longBodyError, networkError, shortBodyError, statusError, timeoutError, type HttpPlace } from './errors.ts';

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 8000;
/** A server that asks for more patience than this gets its way by an error: nobody waits that long for a disk. */
const LONGEST_RETRY_AFTER_MS = 60_000;

export interface RequesterOptions {
  readonly url: string;
  /** The URL as it may appear in messages. */
  readonly filename: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly credentials: 'omit' | 'same-origin' | 'include';
  /** How often a failed request is made again. */
  readonly retries: number;
  /** Seconds without a byte before a request has failed. */
  readonly timeout: number;
}

export interface HttpStatistics {
  readonly requests: number;
  /** Of bodies. */
  readonly bytes: number;
  readonly retries: number;
}

/** An answer whose body is still to be taken, in the time that the request has. */
export interface Answer {
  readonly response: Response;
  /** Takes a body of exactly so many bytes. @throws Retriable when it is shorter, BlockError `io` when it is longer */
  body(expected: number): Promise<Uint8Array>;
  /** Takes a body of unknown length. @returns undefined when there are more than `most` bytes */
  bodyUpTo(most: number): Promise<Uint8Array | undefined>;
}

/** Something that may go better the next time. */
export class Retriable extends Error {
  readonly failure: BlockError;
  readonly pauseMs: number | undefined;

  /** @param pauseMs how long the server asked to wait, if it did */
  constructor(failure: BlockError, pauseMs?: number) {
    super(failure.message);
    this.failure = failure;
    this.pauseMs = pauseMs;
  }
}

export class Requester {
  readonly options: RequesterOptions;
  readonly #environment: HttpEnvironment;
  readonly #closing = new AbortController();
  #requests = 0;
  #bytes = 0;
  #retries = 0;

  constructor(options: RequesterOptions, environment: HttpEnvironment) {
    this.options = options;
    this.#environment = environment;
  }

  get statistics(): HttpStatistics {
    return { requests: this.#requests, bytes: this.#bytes, retries: this.#retries };
  }

  /** The same, less patient. What it does counts here. */
  withRetries(retries: number): Pick<Requester, 'request'> {
    return { request: (method, range, use) => this.#tryOften(retries, method, range, use) };
  }

  /** Ends all requests: each rejects with the error. */
  close(error: Error): void {
    this.#closing.abort(error);
  }

  /**
   * Makes a request until `use` has made something of the answer.
   *
   * @param range first and last byte, or undefined for no range
   * @param use takes the answer; a `Retriable` that it throws is a reason to try again
   * @throws BlockError what `use` throws, or `io` when all tries failed
   */
  request<T>(
    method: 'GET' | 'HEAD',
    range: { readonly first: number; readonly last: number } | undefined,
    use: (answer: Answer, place: HttpPlace) => Promise<T>,
  ): Promise<T> {
    return this.#tryOften(this.options.retries, method, range, use);
  }

  async #tryOften<T>(
    retries: number,
    method: 'GET' | 'HEAD',
    range: { readonly first: number; readonly last: number } | undefined,
    use: (answer: Answer, place: HttpPlace) => Promise<T>,
  ): Promise<T> {
    const place: HttpPlace = {
      filename: this.options.filename,
      ...(range === undefined ? {} : { offset: range.first, length: range.last + 1 - range.first }),
    };
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#once(method, range, place, use);
      } catch (error) {
        this.#closing.signal.throwIfAborted();
        if (!(error instanceof Retriable)) throw error;
        if (attempt >= retries) throw error.failure;
        await this.#pause(attempt, error);
      }
    }
  }

  async #once<T>(
    method: string,
    range: { readonly first: number; readonly last: number } | undefined,
    place: HttpPlace,
    use: (answer: Answer, place: HttpPlace) => Promise<T>,
  ): Promise<T> {
    const patience = new Patience(this.options.timeout, this.#closing.signal);
    this.#requests++;
    try {
      const response = await this.#environment.fetch(this.options.url, {
        method,
        headers: {
          ...this.options.headers,
          ...(range === undefined ? {} : { Range: `bytes=${range.first}-${range.last}` }),
        },
        credentials: this.options.credentials,
        // A browser's cache keeps parts of several versions of a file and was seen to mix them.
        cache: 'no-store',
        signal: patience.signal,
      });
      this.#refuseStatus(response, place);
      return await use(this.#answer(response, patience, place), place);
    } catch (error) {
      if (error instanceof BlockError || error instanceof Retriable) throw error;
      if (patience.ended) throw new Retriable(timeoutError(this.options.timeout, place));
      throw new Retriable(networkError(error, place, isOtherSite(this.options.url)));
    } finally {
      patience.end();
    }
  }

  #refuseStatus(response: Response, place: HttpPlace): void {
    const { status } = response;
    if (status < 400 || status === 416) return;
    const failure = statusError(status, place);
    const mayPass = (status >= 500 && status !== 501 && status !== 505) || status === 429 || status === 408;
    if (mayPass) throw new Retriable(failure, retryAfter(response.headers.get('Retry-After'), this.#environment.now()));
    throw failure;
  }

  #answer(response: Response, patience: Patience, place: HttpPlace): Answer {
    let received = 0;
    const take = (most: number) =>
      readBody(response, most, (bytes) => {
        patience.renew();
        received += bytes;
        this.#bytes += bytes;
      });
    return {
      response,
      body: async (expected) => {
        const taken = await take(expected).catch((cause: unknown) => {
          if (patience.ended) throw new Retriable(timeoutError(this.options.timeout, place));
          throw new Retriable(shortBodyError(expected, received, place, cause));
        });
        if (taken === undefined) throw longBodyError(expected, place);
        if (taken.length < expected) throw new Retriable(shortBodyError(expected, taken.length, place));
        return taken;
      },
      bodyUpTo: take,
    };
  }

  async #pause(attempt: number, { failure, pauseMs }: Retriable): Promise<void> {
    if (pauseMs !== undefined && pauseMs > LONGEST_RETRY_AFTER_MS) throw failure;
    this.#retries++;
    const growing = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt);
    // Half of it by chance, so that many disks do not come back all at once.
    const pause = growing * (0.5 + this.#environment.random() / 2);
    await this.#environment.wait(Math.max(pause, pauseMs ?? 0), this.#closing.signal);
  }
}

/** Ends a request that is silent for too long, or when the storage is closed. */
class Patience {
  readonly #abort = new AbortController();
  readonly #milliseconds: number;
  readonly #closing: AbortSignal;
  #timer: ReturnType<typeof setTimeout> | undefined;
  ended = false;

  constructor(seconds: number, closing: AbortSignal) {
    this.#milliseconds = seconds * 1000;
    this.#closing = closing;
    closing.throwIfAborted();
    closing.addEventListener('abort', this.#close);
    this.renew();
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** A byte came: the time begins anew. */
  renew(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.ended = true;
      this.#abort.abort();
    }, this.#milliseconds);
  }

  /** Also lets go of a body that nobody took. */
  end(): void {
    clearTimeout(this.#timer);
    this.#closing.removeEventListener('abort', this.#close);
    this.#abort.abort();
  }

  readonly #close = () => this.#abort.abort(this.#closing.reason);
}

/** @returns undefined when there are more bytes than `most` */
async function readBody(
  response: Response,
  most: number,
  received: (bytes: number) => void,
): Promise<Uint8Array | undefined> {
  if (response.body === null) return new Uint8Array(0);
  const reader = response.body.getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    received(value.length);
    length += value.length;
    if (length > most) {
      await reader.cancel();
      return undefined;
    }
    parts.push(value);
  }
  return joined(parts, length);
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const [only] = parts;
  if (parts.length === 1 && only!.buffer.byteLength === length) return only!;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** The header's seconds or date as milliseconds from now. RFC 9110, 10.2.3 */
function retryAfter(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  if (/^\d+$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}

function isOtherSite(url: string): boolean {
  const here = (globalThis as { readonly location?: { readonly origin: string } }).location?.origin;
  return here !== undefined && here !== new URL(url).origin;
}

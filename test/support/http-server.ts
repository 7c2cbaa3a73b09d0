/**
 * An HTTP server with files, ranges, and every bad habit that servers of disk images were seen to have. Files and habits are set
 * over HTTP too, so that tests in the browser can do it: PUT /file/<name> with the bytes, PUT /habit/<name> with JSON.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';

/** How a file is served. What counts `times` goes away after so many requests. */
export interface Habit {
  readonly ignoreRanges?: boolean;
  readonly rangeNotSatisfiable?: boolean;
  readonly gzip?: boolean;
  readonly etag?: string | false;
  readonly lastModified?: string | false;
  readonly status?: number;
  readonly retryAfter?: string;
  readonly contentRange?: string | false;
  /** Bytes of the body that are left out at its end, with a Content-Length to match. */
  readonly shortBy?: number;
  /** The connection dies after so many bytes of the body. */
  readonly dieAfter?: number;
  /** The connection dies before any answer. */
  readonly drop?: boolean;
  readonly delayMs?: number;
  /** Which answer headers scripts of other sites may read. */
  readonly expose?: string;
  readonly noCors?: boolean;
  readonly noLength?: boolean;
  /** The habit holds for so many requests, then the server is good again. */
  readonly times?: number;
  /** The habit begins after so many requests. */
  readonly after?: number;
}

export interface LoggedRequest {
  readonly method: string;
  readonly range: string | undefined;
}

interface ServedFile {
  bytes: Uint8Array;
  version: number;
  habit: Habit;
  habitual: number;
  requests: LoggedRequest[];
  inFlight: number;
  mostInFlight: number;
}

export interface TestServer {
  /** Without a slash at the end. */
  readonly origin: string;
  /** Adds a file or replaces one; the habit and the log start anew when it is added. @returns its URL */
  publish(name: string, bytes: Uint8Array, habit?: Habit): string;
  setHabit(name: string, habit: Habit): void;
  requestsOf(name: string): readonly LoggedRequest[];
  mostInFlight(name: string): number;
  close(): Promise<void>;
}

export async function startHttpServer(): Promise<TestServer> {
  const files = new Map<string, ServedFile>();
  const server = createServer((request, response) => {
    answer(files, request, response).catch((error: unknown) => {
      response.destroy(error instanceof Error ? error : new Error(String(error)));
    });
  });
  server.keepAliveTimeout = 1000;
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    publish: (name, bytes, habit) => {
      publish(files, name, bytes, habit);
      return `${origin}/file/${name}`;
    },
    setHabit: (name, habit) => setHabit(files, name, habit),
    requestsOf: (name) => files.get(name)!.requests,
    mostInFlight: (name) => files.get(name)!.mostInFlight,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function publish(files: Map<string, ServedFile>, name: string, bytes: Uint8Array, habit?: Habit): void {
  const known = files.get(name);
  if (known === undefined) {
    files.set(name, { bytes, version: 1, habit: habit ?? {}, habitual: 0, requests: [], inFlight: 0, mostInFlight: 0 });
  } else {
    known.bytes = bytes;
    known.version++;
    if (habit !== undefined) setHabit(files, name, habit);
  }
}

function setHabit(files: Map<string, ServedFile>, name: string, habit: Habit): void {
  const file = files.get(name)!;
  file.habit = habit;
  file.habitual = 0;
}

async function answer(
  files: Map<string, ServedFile>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const [, verb, ...rest] = new URL(request.url ?? '/', 'http://host').pathname.split('/');
  const name = rest.join('/');
  if (request.method === 'PUT' || request.method === 'OPTIONS') {
    await control(files, request, response, verb ?? '', name);
    return;
  }
  if (verb === 'log') {
    const { requests = [], mostInFlight = 0 } = files.get(name) ?? {};
    allowEveryone(response);
    response.end(JSON.stringify({ requests, mostInFlight }));
    return;
  }
  const file = verb === 'file' ? files.get(name) : undefined;
  if (file === undefined) {
    allowEveryone(response);
    response.writeHead(404).end('no such file');
    return;
  }
  file.requests.push({ method: request.method ?? '', range: request.headers.range });
  file.inFlight++;
  file.mostInFlight = Math.max(file.mostInFlight, file.inFlight);
  response.on('close', () => file.inFlight--);
  await serve(file, request, response);
}

async function control(
  files: Map<string, ServedFile>,
  request: IncomingMessage,
  response: ServerResponse,
  verb: string,
  name: string,
): Promise<void> {
  allowEveryone(response);
  if (request.method === 'PUT') {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts);
    if (verb === 'file') publish(files, name, body);
    else setHabit(files, name, JSON.parse(body.toString()) as Habit);
  }
  response.writeHead(204).end();
}

function allowEveryone(response: ServerResponse): void {
  response.setHeader('Access-Control-Allow-Origin', '*');
  response.setHeader('Access-Control-Allow-Methods', 'GET, HEAD, PUT');
  response.setHeader('Access-Control-Allow-Headers', '*');
  response.setHeader('Cross-Origin-Resource-Policy', 'cross-origin');
  response.setHeader('Cache-Control', 'no-cache');
}

/** The habit that holds for this request. */
function habitNow(file: ServedFile): Habit {
  const { after = 0, times = Number.POSITIVE_INFINITY } = file.habit;
  const number = file.habitual++;
  return number >= after && number < after + times ? file.habit : {};
}

async function serve(file: ServedFile, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const habit = habitNow(file);
  const { bytes, version } = file;
  if (habit.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, habit.delayMs));
  if (habit.drop === true) {
    response.destroy();
    return;
  }
  if (habit.noCors !== true) {
    allowEveryone(response);
    response.setHeader(
      'Access-Control-Expose-Headers',
      habit.expose ?? 'ETag, Content-Range, Content-Encoding, Retry-After',
    );
  }
  response.setHeader('Accept-Ranges', 'bytes');
  const modified = new Date(Date.UTC(2024, 0, version)).toUTCString();
  if (habit.etag !== false) response.setHeader('ETag', habit.etag ?? `"version-${version}"`);
  if (habit.lastModified !== false) response.setHeader('Last-Modified', habit.lastModified ?? modified);
  if (habit.retryAfter !== undefined) response.setHeader('Retry-After', habit.retryAfter);
  if (habit.status !== undefined) {
    response.writeHead(habit.status).end('as asked');
    return;
  }
  const range = habit.ignoreRanges === true ? undefined : parseRange(request.headers.range, bytes.length);
  if (range === 'unsatisfiable' || (habit.rangeNotSatisfiable === true && request.headers.range !== undefined)) {
    response.setHeader('Content-Range', `bytes */${bytes.length}`);
    response.writeHead(416).end();
    return;
  }
  const part = range === undefined ? bytes : bytes.subarray(range.first, range.last + 1);
  if (range !== undefined && habit.contentRange !== false) {
    response.setHeader('Content-Range', habit.contentRange ?? `bytes ${range.first}-${range.last}/${bytes.length}`);
  }
  sendBody(request, response, range === undefined ? 200 : 206, part, habit);
}

function sendBody(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  part: Uint8Array,
  habit: Habit,
): void {
  let body: Uint8Array = part;
  if (habit.gzip === true) {
    body = gzipSync(part);
    response.setHeader('Content-Encoding', 'gzip');
  }
  if (habit.shortBy !== undefined) body = body.subarray(0, Math.max(0, body.length - habit.shortBy));
  if (habit.noLength !== true) response.setHeader('Content-Length', body.length);
  response.writeHead(status);
  if (request.method === 'HEAD') {
    response.end();
  } else if (habit.dieAfter === undefined) {
    response.end(body);
  } else {
    response.write(body.subarray(0, habit.dieAfter), () => response.destroy());
  }
}

function parseRange(
  header: string | undefined,
  length: number,
): { first: number; last: number } | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d+)-(\d*)$/.exec(header ?? '');
  if (match === null) return undefined;
  const first = Number(match[1]);
  if (first >= length) return 'unsatisfiable';
  return { first, last: Math.min(match[2] === '' ? length - 1 : Number(match[2]), length - 1) };
}

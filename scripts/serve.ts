// `node scripts/serve.ts [folder] [port]`: a small static server: ranges, strong ETags, and the headers for a cross-origin
// isolated page. It serves the folder under /spindle/, because a page must work in a subfolder of somebody's site.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { extname, join, normalize, resolve, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { isolationHeaders } from './isolation.ts';

const prefix = '/spindle/';

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.webmanifest': 'application/manifest+json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.wasm': 'application/wasm',
};

/** The first and last byte that a Range header asks for; undefined for the whole; 'none' if they do not exist. */
export function parseRange(
  header: string | undefined,
  size: number,
): { first: number; last: number } | 'none' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (match === null || (match[1] === '' && match[2] === '')) return undefined;
  const first = match[1] === '' ? Math.max(0, size - Number(match[2])) : Number(match[1]);
  const last = match[1] === '' || match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1);
  return first <= last ? { first, last } : 'none';
}

/** The file that a request's path names, or undefined if it leaves the folder or the prefix. */
function fileOf(folder: string, url: string): string | undefined {
  const path = decodeURIComponent(new URL(url, 'http://localhost').pathname);
  if (!path.startsWith(prefix)) return undefined;
  const file = normalize(join(folder, path.slice(prefix.length)));
  if (file !== folder && !file.startsWith(folder + sep)) return undefined;
  return path.endsWith('/') ? join(file, 'index.html') : file;
}

async function answer(folder: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url === '/') return void response.writeHead(302, { location: prefix }).end(); // no promise: a response
  const file = fileOf(folder, request.url ?? '/');
  const found = file === undefined ? undefined : await stat(file).catch(() => undefined);
  if (file === undefined || found?.isFile() !== true) return void response.writeHead(404, isolationHeaders).end(); // likewise
  const range = parseRange(request.headers.range, found.size);
  const headers = {
    ...isolationHeaders,
    'accept-ranges': 'bytes',
    'cache-control': 'no-cache',
    'content-type': contentTypes[extname(file)] ?? 'application/octet-stream',
    etag: `"${found.size.toString(36)}-${Math.floor(found.mtimeMs).toString(36)}"`,
    'last-modified': found.mtime.toUTCString(),
  };
  if (range === 'none')
    return void response.writeHead(416, { ...headers, 'content-range': `bytes */${found.size}` }).end();
  const { first, last } = range ?? { first: 0, last: found.size - 1 };
  const contentRange = range === undefined ? {} : { 'content-range': `bytes ${first}-${last}/${found.size}` };
  response.writeHead(range === undefined ? 200 : 206, {
    ...headers,
    ...contentRange,
    'content-length': last - first + 1,
  });
  if (request.method === 'HEAD' || found.size === 0) return void response.end();
  await pipeline(createReadStream(file, { start: first, end: last }), response);
}

/** A server of a folder; it does not listen yet. */
export function createStaticServer(folder: string): Server {
  const absolute = resolve(folder);
  return createServer((request, response) => {
    // A client that goes away in the middle, or a malformed address, ends that request alone.
    answer(absolute, request, response).catch(() => response.destroy());
  });
}

if (import.meta.main) {
  const [folder = 'dist/page', port = '4173'] = process.argv.slice(2);
  createStaticServer(folder).listen(Number(port), '127.0.0.1', () => {
    console.log(`${folder} on http://127.0.0.1:${port}${prefix}`);
  });
}

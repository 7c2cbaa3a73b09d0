import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createStaticServer, parseRange } from '../../scripts/serve.ts';

describe('static server of the end-to-end tests', () => {
  const folder = mkdtempSync(join(tmpdir(), 'spindle-serve-'));
  const server = createStaticServer(join(folder, 'site'));
  let base: string;

  beforeAll(async () => {
    mkdirSync(join(folder, 'site'));
    writeFileSync(join(folder, 'secret'), 'secret');
    writeFileSync(join(folder, 'site/index.html'), '<p>page</p>');
    writeFileSync(join(folder, 'site/disk.img'), '0123456789');
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterAll(async () => {
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true });
  });

  test('serves a page in a subfolder, isolated', async () => {
    const response = await fetch(`${base}/`);
    expect(new URL(response.url).pathname).toBe('/spindle/');
    expect(await response.text()).toBe('<p>page</p>');
    expect(response.headers.get('cross-origin-embedder-policy')).toBe('require-corp');
    expect(response.headers.get('cross-origin-opener-policy')).toBe('same-origin');
  });

  test('answers a range with exactly its bytes and a strong ETag', async () => {
    const response = await fetch(`${base}/spindle/disk.img`, { headers: { range: 'bytes=2-4' } });
    expect([response.status, response.headers.get('content-range')]).toEqual([206, 'bytes 2-4/10']);
    expect(response.headers.get('etag')).toMatch(/^"[^"]+"$/);
    expect(await response.text()).toBe('234');
  });

  test('refuses a range past the end, and files outside its folder', async () => {
    const past = await fetch(`${base}/spindle/disk.img`, { headers: { range: 'bytes=10-' } });
    expect([past.status, past.headers.get('content-range')]).toEqual([416, 'bytes */10']);
    expect((await fetch(`${base}/spindle/..%2fsecret`)).status).toBe(404);
    expect((await fetch(`${base}/secret`)).status).toBe(404);
    await expect(fetch(`${base}/spindle/%ff`)).rejects.toThrow('fetch failed');
    expect((await fetch(`${base}/spindle/`)).status).toBe(200);
  });
});

test('ranges are read as RFC 9110 says', () => {
  expect(parseRange(undefined, 10)).toBeUndefined();
  expect(parseRange('bytes=0-0', 10)).toEqual({ first: 0, last: 0 });
  expect(parseRange('bytes=5-', 10)).toEqual({ first: 5, last: 9 });
  expect(parseRange('bytes=5-99', 10)).toEqual({ first: 5, last: 9 });
  expect(parseRange('bytes=-3', 10)).toEqual({ first: 7, last: 9 });
  expect(parseRange('bytes=-30', 10)).toEqual({ first: 0, last: 9 });
  expect(parseRange('bytes=10-', 10)).toBe('none');
  expect(parseRange('bytes=-0', 10)).toBe('none');
  expect(parseRange('items=0-1', 10)).toBeUndefined();
});

/** The site that the slow end-to-end tests visit: the harness page, built by vite into a folder of its own, and the guests. */
import { createWriteStream, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { createStaticServer } from '../../scripts/serve.ts';
import { guestFolder } from '../../test/support/guest.ts';

const sources = fileURLToPath(new URL('.', import.meta.url));
const uploadPath = /^\/spindle\/upload\/([\w.-]+)$/;

async function buildPage(folder: string): Promise<void> {
  await build({
    configFile: false,
    root: sources,
    base: './',
    publicDir: false,
    logLevel: 'error',
    worker: { format: 'es' },
    build: {
      outDir: folder,
      emptyOutDir: true,
      target: 'es2023',
      assetsInlineLimit: 0,
      minify: false,
      rollupOptions: { input: join(sources, 'machine.html') },
    },
  });
}

/** A web server that a test can take away and bring back. */
export class Site implements AsyncDisposable {
  readonly #folder: string;
  readonly #files: Server;
  #server: Server | undefined;
  #port = 0;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#files = createStaticServer(join(folder, 'page'));
  }

  static async open(): Promise<Site> {
    const folder = mkdtempSync(join(tmpdir(), 'spindle-site-'));
    const page = join(folder, 'page');
    await buildPage(page);
    symlinkSync(guestFolder, join(page, 'demo'));
    mkdirSync(join(folder, 'upload'));
    const site = new Site(folder);
    await site.start();
    return site;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Address of the harness page. */
  get page(): string {
    return `${this.origin}/spindle/machine.html`;
  }

  /** Where a file on this machine is to be put so that pages find it at `name`, relative to the harness page. */
  fileToServe(name: string): string {
    return join(this.#folder, 'page', name);
  }

  /** Where a page's upload has been put on this machine. */
  uploaded(name: string): string {
    return join(this.#folder, 'upload', name);
  }

  /** Serves again, at the same address as before. */
  async start(): Promise<void> {
    const server = createServer((request, response) => this.#answer(request, response));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
  }

  /** The server is gone: connections break in the middle of an answer, and new ones are refused. */
  async die(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.die();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const name = request.method === 'PUT' ? uploadPath.exec(request.url ?? '')?.[1] : undefined;
    if (name === undefined) this.#files.emit('request', request, response);
    else void this.#takeUpload(name, request, response); // it answers a failure itself
  }

  async #takeUpload(name: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await pipeline(request, createWriteStream(this.uploaded(name)));
      response.writeHead(204).end();
    } catch {
      // The page went away in the middle; whoever waits for the file sees that the page did.
      response.destroy();
    }
  }
}

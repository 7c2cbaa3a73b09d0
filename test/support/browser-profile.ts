/**
 * A Chromium of its own with a profile on disk, and the project's sources served to it. The test runner's pages live in private
 * windows: storage in memory, other limits. What is about disks, quota, tabs and their death needs the real thing.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type BrowserContext, type Page } from 'playwright';
import { createServer, type Plugin } from 'vite';
import { chromiumArguments, chromiumPath } from '../../scripts/chromium.ts';
import { isolationHeaders } from '../../scripts/isolation.ts';
import type { WindowWithWorkers } from './profile-worker.ts';

export interface BrowserProfile {
  readonly context: BrowserContext;
  readonly origin: string;
  /** Opens a tab with an empty page of the project's origin. */
  newPage(): Promise<Page>;
  /** Limits the origin's quota to some bytes. @returns a way to lift the limit; closing the page lifts it too */
  limitQuota(page: Page, bytes: number): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

const emptyPage: Plugin = {
  name: 'empty-page',
  configureServer: (server) => {
    server.middlewares.use('/empty.html', (_request, response) => {
      response.setHeader('Content-Type', 'text/html');
      for (const [name, value] of Object.entries(isolationHeaders)) response.setHeader(name, value);
      response.end(
        '<!doctype html><title>empty</title><script type="module" src="/test/support/profile-worker.ts"></script>',
      );
    });
  },
};

/** Starts a dedicated worker on such a page, from a source of the project; its cases (worker-cases.ts) run by name. */
export async function startWorker(page: Page, script: string) {
  await page.waitForFunction(() => 'startWorker' in globalThis);
  const handle = await page.evaluateHandle((url) => (globalThis as WindowWithWorkers).startWorker(url), script);
  return {
    names: () => handle.evaluate((worker) => worker.names()),
    run: (name: string) => handle.evaluate((worker, asked) => worker.run(asked), name),
    end: () => handle.evaluate((worker) => worker.end()),
  };
}

export async function openBrowserProfile(): Promise<BrowserProfile> {
  const server = await createServer({
    configFile: false,
    logLevel: 'error',
    plugins: [emptyPage],
    cacheDir: join(tmpdir(), `spindle-vite-${process.pid}`),
    server: { port: 0, host: '127.0.0.1', headers: isolationHeaders, hmr: false, watch: null },
    optimizeDeps: { noDiscovery: true },
  });
  await server.listen();
  const origin = new URL(server.resolvedUrls!.local[0]!).origin;
  const profile = mkdtempSync(join(tmpdir(), 'spindle-profile-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: chromiumPath,
    args: chromiumArguments,
  });
  return {
    context,
    origin,
    newPage: async () => {
      const page = await context.newPage();
      await page.goto(`${origin}/empty.html`);
      return page;
    },
    limitQuota: async (page, bytes) => {
      const session = await context.newCDPSession(page);
      await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: bytes });
      return () => session.detach();
    },
    close: async () => {
      await context.close();
      await server.close();
      rmSync(profile, { recursive: true, force: true });
      rmSync(join(tmpdir(), `spindle-vite-${process.pid}`), { recursive: true, force: true });
    },
  };
}

/** A disk that one tab holds is refused to another, which gets it when the first tab dies. @param steps of the protocol */
export async function outliveTab(profile: BrowserProfile, steps: string): Promise<void> {
  const first = await profile.newPage();
  const second = await profile.newPage();
  const holder = await startWorker(first, steps);
  const other = await startWorker(second, steps);
  await holder.run('hold the disk');
  await other.run('the disk is in use');
  // The answer never comes: the page that would give it is gone.
  const crash = profile.context.newCDPSession(first).then((session) => session.send('Page.crash'));
  crash.catch(() => undefined);
  await other.run('wait for the disk');
  await second.close();
  await first.close();
}

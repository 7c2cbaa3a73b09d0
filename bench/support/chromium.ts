/** A Chromium with a profile on disk, and the built bench page in it: what is measured is what users run. */
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium, type BrowserContext, type Page } from 'playwright';
import { build } from 'vite';
import { chromiumArguments, chromiumPath } from '../../scripts/chromium.ts';
import { createStaticServer } from '../../scripts/serve.ts';
import type { BenchPage } from '../browser/page.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What a server has sent since it was last asked. */
export interface Traffic {
  readonly requests: number;
  readonly bytes: number;
}

export interface BenchBrowser {
  /** Calls a function of the bench page (browser/page.ts), in a new tab. */
  call<Name extends keyof BenchPage>(
    name: Name,
    ...args: Parameters<BenchPage[Name]>
  ): Promise<Awaited<ReturnType<BenchPage[Name]>>>;
  /** What was sent of files whose path contains `part`; counts from zero after that. */
  takeTraffic(part: string): Traffic;
  close(): Promise<void>;
}

export interface BenchBrowserOptions {
  /**
   * All of the browser on one processor (Linux). Two threads that hand short messages to each other take 35 us a round trip where they
   * share a processor and 120 us where each must wake an idle one, and on an idle machine the scheduler's choice between the two is luck:
   * without this a comparison says which side was lucky.
   */
  readonly oneProcessor?: boolean;
}

/** Builds the page and opens the browser. `close` leaves nothing behind. */
export async function openBenchBrowser({ oneProcessor = false }: BenchBrowserOptions = {}): Promise<BenchBrowser> {
  const folder = mkdtempSync(join(tmpdir(), 'spindle-bench-'));
  const page = join(folder, 'page');
  await build({
    root: join(root, 'bench/browser'),
    configFile: join(root, 'vite.config.ts'),
    publicDir: false,
    logLevel: 'error',
    build: { outDir: page, emptyOutDir: true, chunkSizeWarningLimit: 8192 },
  });
  symlinkSync(join(root, 'public/demo'), join(page, 'demo'));
  const sent = new Map<string, { requests: number; bytes: number }>();
  const server = createStaticServer(page);
  server.prependListener('request', ({ url = '', socket }, response) => {
    // Of the socket, so headers are counted too. Chromium never sends a request before the answer to the last one is there.
    const sentBefore = socket.bytesWritten;
    response.on('finish', () => {
      const count = sent.get(url) ?? { requests: 0, bytes: 0 };
      sent.set(url, {
        requests: count.requests + 1,
        bytes: count.bytes + socket.bytesWritten - sentBefore,
      });
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const context = await chromium.launchPersistentContext(join(folder, 'profile'), {
    executablePath: oneProcessor && process.platform === 'linux' ? onOneProcessor(folder) : chromiumPath,
    args: chromiumArguments,
  });
  return {
    call: (name, ...args) => callPage(context, `${origin}/spindle/index.html`, name, args),
    takeTraffic: (part) => {
      const total = { requests: 0, bytes: 0 };
      for (const [url, count] of sent) {
        if (!url.includes(part)) continue;
        total.requests += count.requests;
        total.bytes += count.bytes;
        sent.delete(url);
      }
      return total;
    },
    close: async () => {
      await context.close();
      server.closeAllConnections();
      server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A program in `folder` that starts Chromium on processor 0. */
function onOneProcessor(folder: string): string {
  const program = join(folder, 'chromium');
  writeFileSync(program, `#!/bin/sh\nexec taskset -c 0 '${chromiumPath}' "$@"\n`, { mode: 0o755 });
  return program;
}

async function callPage<Name extends keyof BenchPage>(
  context: BrowserContext,
  url: string,
  name: Name,
  args: Parameters<BenchPage[Name]>,
): Promise<Awaited<ReturnType<BenchPage[Name]>>> {
  const page: Page = await context.newPage();
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(error.message));
  try {
    await page.goto(url);
    await page.waitForFunction(() => 'bench' in globalThis);
    return (await page.evaluate(
      ([called, given]) => {
        const { bench } = globalThis as unknown as { bench: Record<string, (...all: unknown[]) => unknown> };
        return bench[called]!(...given);
      },
      [name, args] as const,
    )) as Awaited<ReturnType<BenchPage[Name]>>;
  } catch (error) {
    throw new Error(`the bench page failed at '${name}': ${[String(error), ...problems].join('\n')}`, { cause: error });
  } finally {
    await page.close();
  }
}

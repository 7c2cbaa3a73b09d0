/** What every test of the page starts with: the page, a folder for its files, and proof that no error was swallowed. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test as base } from '@playwright/test';
import { ensureGuests, guestImage, type DemoImage, type DemoManifest } from '../../test/support/guest.ts';
import { startHttpServer, type TestServer } from '../../test/support/http-server.ts';
import { SpindlePage } from './spindle-page.ts';

interface Fixtures {
  readonly spindle: SpindlePage;
  /** Removed after the test. */
  readonly folder: string;
}

interface WorkerFixtures {
  readonly server: TestServer;
}

export const test = base.extend<Fixtures, WorkerFixtures>({
  spindle: async ({ page }, use) => {
    const spindle = new SpindlePage(page);
    await use(spindle);
    expect(spindle.pageErrors).toEqual([]);
  },
  // Playwright wants an object pattern, also where a fixture needs none of the others.
  // oxlint-disable-next-line no-empty-pattern
  folder: async ({}, use) => {
    const folder = mkdtempSync(join(tmpdir(), 'spindle-e2e-'));
    await use(folder);
    rmSync(folder, { recursive: true, force: true });
  },
  server: [
    // oxlint-disable-next-line no-empty-pattern
    async ({}, use) => {
      const server = await startHttpServer();
      await use(server);
      await server.close();
    },
    { scope: 'worker' },
  ],
});

export { expect };

let known: Promise<Awaited<ReturnType<typeof ensureGuests>>> | undefined;

/** The guest's image, or the test skips itself and says why. */
export async function requireGuest(id: DemoImage['id']): Promise<DemoImage & { readonly path: string }> {
  known ??= ensureGuests();
  const { manifest, unavailable } = await known;
  test.skip(manifest === undefined, unavailable ?? '');
  return guestImage(manifest as DemoManifest, id);
}

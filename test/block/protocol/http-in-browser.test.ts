// The http protocol in a browser with a profile on disk, against a server of another origin.
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { openBrowserProfile, startWorker, type BrowserProfile } from '../../support/browser-profile.ts';
import { startHttpServer, type TestServer } from '../../support/http-server.ts';

const QUOTA_CASE = 'a full quota ends keeping, not reading';

// A browser of its own on a busy machine takes its time.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

let profile: BrowserProfile;
let server: TestServer;

beforeAll(async () => {
  server = await startHttpServer();
  profile = await openBrowserProfile();
});

afterAll(async () => {
  await profile?.close();
  await server?.close();
});

describe('http in a browser', () => {
  test('the conformance suite, other sites, and what is kept', async () => {
    const page = await profile.newPage();
    const worker = await startWorker(page, `/test/block/protocol/http.worker.ts?port=${new URL(server.origin).port}`);
    const names = (await worker.names()).filter((name) => name !== QUOTA_CASE);
    expect(names.length).toBeGreaterThan(15);
    for (const name of names) await worker.run(name);
    const lift = await profile.limitQuota(page, 10 * 2 ** 20);
    await worker.run(QUOTA_CASE);
    await lift();
    await page.close();
  });
});

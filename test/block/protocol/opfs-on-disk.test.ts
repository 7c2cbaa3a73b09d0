// The opfs protocol in a browser with a profile on disk: the conformance suite again, quota, two tabs, a tab that dies.
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { openBrowserProfile, outliveTab, startWorker, type BrowserProfile } from '../../support/browser-profile.ts';

const SUITE = '/test/block/protocol/opfs.worker.ts?on-disk';
const STEPS = '/test/block/protocol/opfs-steps.worker.ts';

// A browser of its own on a busy machine takes its time.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

let profile: BrowserProfile;

beforeAll(async () => {
  profile = await openBrowserProfile();
});

afterAll(async () => {
  await profile?.close();
});

describe('opfs on disk', () => {
  test('the conformance suite', async () => {
    const page = await profile.newPage();
    const worker = await startWorker(page, SUITE);
    const names = await worker.names();
    expect(names.length).toBeGreaterThan(30);
    for (const name of names) await worker.run(name);
    await page.close();
  });

  test('a full quota is no-space, nothing acknowledged is lost, and room makes writes work again', async () => {
    const page = await profile.newPage();
    const worker = await startWorker(page, STEPS);
    const lift = await profile.limitQuota(page, 12 * 2 ** 20);
    await worker.run('write until nothing fits');
    await worker.run('what was acknowledged is there');
    await lift();
    await worker.run('write on');
    await page.close();
  });

  test('a second tab is told that the disk is in use, and gets it when the first one dies', async () => {
    await outliveTab(profile, STEPS);
  });

  test('a worker that ends lets go of its disk', async () => {
    const page = await profile.newPage();
    const holder = await startWorker(page, STEPS);
    const other = await startWorker(page, STEPS);
    await holder.run('hold the disk');
    await other.run('the disk is in use');
    await holder.end();
    await other.run('wait for the disk');
    await page.close();
  });
});

// The indexeddb protocol in a browser with a profile on disk: quota, two tabs, a tab that dies.
import { afterAll, beforeAll, describe, test, vi } from 'vitest';
import { openBrowserProfile, outliveTab, startWorker, type BrowserProfile } from '../../support/browser-profile.ts';

const STEPS = '/test/block/protocol/indexeddb-steps.worker.ts';

// A browser of its own on a busy machine takes its time.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

let profile: BrowserProfile;

beforeAll(async () => {
  profile = await openBrowserProfile();
});

afterAll(async () => {
  await profile?.close();
});

describe('indexeddb on disk', () => {
  test('a full quota is no-space, nothing is lost, and room makes the same changes storable', async () => {
    const page = await profile.newPage();
    const worker = await startWorker(page, STEPS);
    const lift = await profile.limitQuota(page, 12 * 2 ** 20);
    await worker.run('write and flush until nothing fits');
    await worker.run('what was written is still there to read, and more is refused before memory fills up');
    await lift();
    await worker.run('with room again everything is stored');
    await page.close();
  });

  test('a second tab is told that the disk is in use, and finds what was flushed when the first one dies', async () => {
    await outliveTab(profile, STEPS);
  });
});

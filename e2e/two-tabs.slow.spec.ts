// One disk, several tabs: one of them writes, and another one gets its turn when that is gone, however it went.
import type { Page } from 'playwright';
import type { BlockdevOptions } from '../src/client/index.ts';
import { newOverlay, storedAt } from './harness/overlay.ts';
import type { OverlayStorage } from './harness/overlay.ts';
import { expect, test } from './harness/test.ts';

const base = { driver: 'opfs', path: 'disks/base.img' } as const;
const storages: readonly OverlayStorage[] = ['opfs', 'indexeddb'];

for (const storage of storages) {
  const options: BlockdevOptions = {
    driver: 'qcow2',
    file: storedAt(storage),
    backing: { driver: 'raw', file: base, 'read-only': true },
  };

  test(`a disk in ${storage} is written by one tab at a time`, async ({ site, profile, grub }) => {
    const browser = await profile.start();
    const first = await browser.newTab(site.page);
    const second = await browser.newTab(site.page);
    await first.call('storeFile', `demo/${grub.file}`, base.path);
    await first.call('create', newOverlay(storage, grub));
    await first.call('open', options);

    // In use for writing: neither another writer nor a reader, whom its changes would surprise. And nobody deletes it.
    await expect(second.call('open', options)).rejects.toThrow(/\bbusy: .*in use by another/);
    await expect(second.call('open', { ...options, 'read-only': true })).rejects.toThrow(/\bbusy: /);
    await expect(second.call('delete', storedAt(storage))).rejects.toThrow(/\bbusy: /);
    // The base is read by both, and written by nobody who is not alone with it.
    await expect(second.call('open', base)).rejects.toThrow(/\bbusy: /);
    const sideBySide = await second.call('open', { driver: 'raw', file: base, 'read-only': true });
    expect(sideBySide).toMatchObject({ readOnly: true, size: grub.size });
    await second.call('close');

    await first.page.close();
    await expect.poll(() => openKind(() => second.call('open', options))).toBe('open');

    // A tab that dies lets go as one that is closed does.
    const third = await browser.newTab(site.page);
    await expect(third.call('open', options)).rejects.toThrow(/\bbusy: /);
    await crash(second.page);
    await expect.poll(() => openKind(() => third.call('open', options))).toBe('open');
  });
}

/** @returns `open`, or the kind of the error: the browser takes a moment to bury a tab. */
async function openKind(open: () => Promise<unknown>): Promise<string> {
  try {
    await open();
    return 'open';
  } catch (error) {
    return /\b([\w-]+): /.exec(String(error).replace(/^Error: |page\.evaluate: (Error: )?/g, ''))?.[1] ?? String(error);
  }
}

/** Kills the tab's process. */
async function crash(page: Page): Promise<void> {
  const session = await page.context().newCDPSession(page);
  const crashed = page.waitForEvent('crash');
  // The command is never answered: nobody is left to.
  session.send('Page.crash').catch(() => undefined);
  await crashed;
}

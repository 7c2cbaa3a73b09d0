// A kill can tear the last record of the browser's own log of IndexedDB. Chromium writes on behind it, and at the start after that
// deletes the database: two kills, and every disk is gone, unless a new log is begun in between.
import { newOverlay, overlay } from './harness/overlay.ts';
import { expect, test } from './harness/test.ts';

/** More than the last record that the browser wrote. */
const TORN_BYTES = 40;

test('a disk in IndexedDB outlives two kills, the first in the middle of a write', async ({ site, profile, grub }) => {
  const address = 'demo/' + grub.file;
  for (let kill = 1; kill <= 3; kill++) {
    const browser = await profile.start();
    const tab = await browser.newTab(site.page);
    if (kill === 1) await tab.call('create', newOverlay('indexeddb', grub));
    await tab.call('open', overlay('indexeddb', address));
    // A second disk after the first: the record that is torn is not one that anybody was promised.
    await tab.call('create', newOverlay('indexeddb', grub, `other-${kill}`));
    browser.kill();
    await browser.close();
    if (kill === 1) profile.tearIndexedDbLog(site.page, TORN_BYTES);
  }
  const browser = await profile.start();
  const tab = await browser.newTab(site.page);
  await tab.call('open', overlay('indexeddb', address));
  expect((await tab.call('check')).corruptions).toBe(0);
});

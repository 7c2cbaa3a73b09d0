// The emulator in the worker, beside the block layer: the same disk without a message.
import type { BlockdevOptions } from '../src/client/index.ts';
import { newOverlay, storedAt } from './harness/overlay.ts';
import { expect, test } from './harness/test.ts';

const base = { driver: 'opfs', path: 'disks/base.img' } as const;
const options: BlockdevOptions = {
  driver: 'qcow2',
  file: storedAt('opfs'),
  backing: { driver: 'raw', file: base, 'read-only': true },
};

test('GRUB boots in a worker, writes, and finds it again after a reload', async ({ site, profile, grub }) => {
  const browser = await profile.start();
  const tab = await browser.newTab(site.page);
  await tab.call('storeFile', `demo/${grub.file}`, base.path);
  await tab.call('create', newOverlay('opfs', grub));

  expect(await tab.bootInWorker(grub, options)).toContain('boots=x');
  await tab.command(grub, 'set message=kept');
  await tab.command(grub, 'save_env -f /grub/env message');
  await tab.call('flushDrives');
  await tab.reload();

  expect(await tab.bootInWorker(grub, options)).toContain('boots=xx');
  await tab.command(grub, 'load_env -f /grub/env');
  expect(await tab.command(grub, 'echo $message')).toBe('kept');
});

// The site's quota is used up while Linux writes. The machine stops, the page is told, and with more room it goes on as if nothing had
// been: what was acknowledged before and after is all there.
import { createHash } from 'node:crypto';
import { expectSound, fileInExt4, partitionFile, rawOf } from './harness/images.ts';
import { demoUrl, newOverlay, overlay } from './harness/overlay.ts';
import { expect, test } from './harness/test.ts';

const ROOM_BYTES = 3 * 2 ** 20;

test('a guest on a full disk stops, and goes on when there is room', async ({ site, profile, linux }) => {
  const browser = await profile.start();
  const tab = await browser.newTab(site.page);
  const session = await browser.context.newCDPSession(tab.page);
  const setQuota = (quotaSize?: number) =>
    session.send('Storage.overrideQuotaForOrigin', {
      origin: site.origin,
      ...(quotaSize === undefined ? {} : { quotaSize }),
    });

  await tab.call('create', newOverlay('opfs', linux));
  await tab.call('open', overlay('opfs', demoUrl(linux)));
  await tab.boot(linux, { writeError: 'enospc' });
  await tab.command(linux, 'dd if=/dev/urandom of=/data/before bs=64k count=16 2>/dev/null; sync');
  const before = await tab.command(linux, 'md5sum /data/before');

  const { usage } = await tab.call('usage');
  await setQuota(usage + ROOM_BYTES);
  const writing = tab.command(
    linux,
    'dd if=/dev/urandom of=/data/during bs=64k count=96 2>/dev/null; sync; echo ended',
  );
  const failure = await tab.stopped();
  expect(failure).toMatchObject({ action: 'stop', kind: 'no-space' });
  expect(['write', 'flush']).toContain(failure.operation);
  // Still no room: the machine does not start, and what it wants is kept.
  expect(await tab.call('resume')).toBe(false);
  await tab.stopped();
  expect(tab.console.text).not.toContain('I/O error');

  await setQuota();
  expect(await tab.call('resume')).toBe(true);
  expect(await writing).toBe('ended');
  const during = await tab.command(linux, 'md5sum /data/during');
  expect(await tab.command(linux, 'dmesg | grep -ciE "i/o error|remounting"')).toBe('0');
  expect(await tab.command(linux, 'md5sum /data/before')).toBe(before);

  // The synced files are on the disk, without a close and without the guest's help.
  await tab.reload();
  await tab.call('open', overlay('opfs', demoUrl(linux)));
  await tab.call('uploadExport', 'qcow2', 'refilled.qcow2');
  const image = site.uploaded('refilled.qcow2');
  await expectSound(image, 'refused');
  const root = partitionFile(await rawOf(image), 2);
  expect(md5(fileInExt4(root, '/data/before'))).toBe(before.split(' ')[0]);
  expect(md5(fileInExt4(root, '/data/during'))).toBe(during.split(' ')[0]);
});

const md5 = (bytes: Buffer): string => createHash('md5').update(bytes).digest('hex');

// The whole browser is killed the moment that a Linux guest has synced.
import { copyFileSync } from 'node:fs';
import { expectCleanExt4, expectSound, partitionFile, rawOf } from './harness/images.ts';
import { BASE_NAME, demoUrl, newOverlay, overlay } from './harness/overlay.ts';
import { expect, test } from './harness/test.ts';

test('a killed browser loses nothing of what the guest has synced', async ({ site, profile, linux }) => {
  const killed = await profile.start();
  const tab = await killed.newTab(site.page);
  await tab.call('create', newOverlay('opfs', linux));
  await tab.call('open', overlay('opfs', demoUrl(linux)));
  await tab.boot(linux);
  await tab.command(linux, 'dd if=/dev/urandom of=/data/random bs=64k count=48 2>/dev/null');
  const checksum = await tab.command(linux, 'md5sum /data/random');
  await tab.command(linux, 'mkdir /data/many; for i in $(seq 200); do echo $i > /data/many/$i; done');
  // Between the sync's end and the end of the browser lies one prompt.
  await tab.command(linux, 'sync');
  killed.kill();
  await killed.close();

  const browser = await profile.start();
  const after = await browser.newTab(site.page);
  // Clusters that were set aside for unsynced writes may have leaked; nothing else may be wrong.
  copyFileSync(linux.path, site.uploaded(BASE_NAME));
  await after.call('uploadFile', 'disks/overlay.qcow2', 'killed.qcow2');
  await expectSound(site.uploaded('killed.qcow2'), 'allowed');
  await after.call('open', overlay('opfs', demoUrl(linux)));
  expect(await after.boot(linux)).toContain('boot=2');
  expect(await after.command(linux, 'md5sum /data/random')).toBe(checksum);
  expect(await after.command(linux, 'cat /data/many/* | wc -l')).toBe('200');
  expect(await after.command(linux, 'dmesg | grep EXT4-fs')).toContain('recovery complete');
  await after.command(linux, 'mount -o remount,ro /');
  await after.call('unplug');
  await after.call('uploadExport', 'qcow2', 'recovered.qcow2');
  expectCleanExt4(partitionFile(await rawOf(site.uploaded('recovered.qcow2')), 2));
});

// A Linux guest over a base on a server: what it has synced is there after a reload that nobody announced, and the disk that comes
// out of the browser is sound in the eyes of QEMU and of e2fsck.
import { hasQemu, QemuGuest } from '../scripts/guest/qemu-boot.ts';
import { expectCleanExt4, expectSound, partitionFile, rawOf } from './harness/images.ts';
import { demoUrl, newOverlay, overlay, type OverlayStorage } from './harness/overlay.ts';
import { expect, test } from './harness/test.ts';

const storages: readonly OverlayStorage[] = ['opfs', 'indexeddb'];

for (const storage of storages) {
  test.describe.serial(`Linux, HTTP base, qcow2 overlay in ${storage}`, () => {
    let exported = '';
    let checksum = '';

    test('what was synced is there after a reload', async ({ site, profile, linux }) => {
      const browser = await profile.start();
      const tab = await browser.newTab(site.page);
      await tab.call('create', newOverlay(storage, linux));
      await tab.call('open', overlay(storage, demoUrl(linux)));
      expect(await tab.boot(linux)).toContain('boot=1');
      await tab.command(linux, 'dd if=/dev/urandom of=/data/random bs=64k count=64 2>/dev/null');
      await tab.command(linux, 'sync');
      checksum = await tab.command(linux, 'md5sum /data/random');
      expect(checksum).toMatch(/^[0-9a-f]{32} /);

      await tab.reload();
      await tab.call('open', overlay(storage, demoUrl(linux)));
      expect(await tab.boot(linux)).toContain('boot=2');
      expect(await tab.command(linux, 'dmesg | grep EXT4-fs')).toContain('recovery complete');
      expect(await tab.command(linux, 'md5sum /data/random')).toBe(checksum);

      await tab.command(linux, 'sync');
      await tab.command(linux, 'mount -o remount,ro /');
      await tab.call('unplug');
      await tab.call('uploadExport', 'qcow2', `${storage}.qcow2`);
      await tab.call('close');
      exported = site.uploaded(`${storage}.qcow2`);
      await expectSound(exported, 'refused');
      expectCleanExt4(partitionFile(await rawOf(exported), 2));
    });

    test("the exported disk boots on QEMU's PC", async ({ linux }) => {
      test.skip(!hasQemu(), 'qemu-system-i386 is not installed; Debian has it in qemu-system-x86');
      await using guest = new QemuGuest({ image: exported, format: 'qcow2', snapshot: true });
      expect(await guest.console.until(linux.ready)).toBeTruthy();
      expect(await guest.console.until(linux.prompt)).toContain('boot=3');
      expect(await guest.console.command('md5sum /data/random', linux.prompt)).toBe(checksum);
    });
  });
}

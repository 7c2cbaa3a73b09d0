// The server of the base goes away while Linux boots from it. The guest never sees zeroes for what could not be read: it sees an I/O
// error, or it stands still until the server is back.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { DemoImage } from '../scripts/guest/manifest.ts';
import type { BlockdevOptions } from '../src/client/index.ts';
import { partition } from './harness/images.ts';
import { demoUrl, newOverlay, storedAt } from './harness/overlay.ts';
import { expect, test } from './harness/test.ts';

/** A small cache, nothing fetched ahead and no patience: what the guest asks for soon goes to the server, and fails there. */
function overUnreliable(url: string): BlockdevOptions {
  const http = { driver: 'http', url, cache_size: 262_144, chunk_size: 65_536, readahead: 0, retries: 0 } as const;
  return { driver: 'qcow2', file: storedAt('opfs'), backing: { driver: 'raw', file: http } };
}

/** Printed when the kernel runs and the disk with the root has yet to be read. */
const kernelIsUp = 'INITRAMFS-UP';

/** The guest's boot partition, which nobody writes to. */
const boot = { number: 1, firstMebibyte: 1, mebibytes: 16 } as const;

function md5OfBoot(linux: DemoImage & { readonly path: string }): string {
  const content = partition(readFileSync(linux.path), boot.number);
  expect(content.length).toBe(boot.mebibytes * 2 ** 20);
  return createHash('md5').update(content).digest('hex');
}

test('reported: the guest sees I/O errors, and the disk again when the server is back', async ({
  site,
  profile,
  linux,
}) => {
  const browser = await profile.start();
  const tab = await browser.newTab(site.page);
  await tab.call('create', newOverlay('opfs', linux));
  await tab.call('open', overUnreliable(demoUrl(linux)));
  await tab.startBoot(linux, { readError: 'report', witness: demoUrl(linux) });
  await tab.console.until(kernelIsUp);
  await site.die();
  // Without its root the initramfs gives up and starts a shell.
  const said = await tab.console.until('ROOT-MOUNT-FAILED');
  expect(said).toContain('I/O error, dev sda');
  await tab.console.until('# ');
  const failures = await tab.call('driveFailures');
  expect(failures.length).toBeGreaterThan(0);
  for (const failure of failures) expect(failure).toMatchObject({ operation: 'read', action: 'report', kind: 'io' });

  await site.start();
  // The kernel could not even read the partition table, so it knows the whole disk alone.
  const read = `dd if=/dev/sda bs=1M skip=${boot.firstMebibyte} count=${boot.mebibytes} 2>/dev/null`;
  const checksum = await tab.console.command(`/bin/busybox ${read} | /bin/busybox md5sum`, '# ');
  expect(checksum).toContain(md5OfBoot(linux));
  const witness = await tab.call('witnessReport');
  expect(witness.sectorsCompared).toBeGreaterThan(10_000);
  expect(witness.wrongSectors).toEqual([]);
});

test('stopped: the machine waits for the server, and then boots to its prompt', async ({ site, profile, linux }) => {
  const browser = await profile.start();
  const tab = await browser.newTab(site.page);
  await tab.call('create', newOverlay('opfs', linux));
  await tab.call('open', overUnreliable(demoUrl(linux)));
  await tab.startBoot(linux, { readError: 'stop', witness: demoUrl(linux) });
  await tab.console.until(kernelIsUp);
  await site.die();
  const failure = await tab.stopped();
  expect(failure).toMatchObject({ operation: 'read', action: 'stop', kind: 'io' });

  // Too early: it stops again, and says so again.
  expect(await tab.call('resume')).toBe(false);
  await tab.stopped();
  expect(tab.console.text).not.toContain('I/O error');

  await site.start();
  expect(await tab.call('resume')).toBe(true);
  expect(await tab.untilPrompt(linux)).toContain('boot=1');
  expect(await tab.command(linux, 'dmesg | grep -ci "i/o error"')).toBe('0');
  expect(await tab.command(linux, 'md5sum /dev/sda1')).toContain(md5OfBoot(linux));
  const witness = await tab.call('witnessReport');
  expect(witness.sectorsCompared).toBeGreaterThan(10_000);
  expect(witness.wrongSectors).toEqual([]);
});

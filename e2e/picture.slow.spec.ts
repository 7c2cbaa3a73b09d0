/** The picture in the README: the page with a Linux guest that has just written to its disk. */
import { join } from 'node:path';
import { expect, requireGuest, test } from './support/fixtures.ts';

const PICTURE = join(import.meta.dirname, '..', 'docs', 'images', 'spindle.png');

test.use({ viewport: { width: 1360, height: 764 }, deviceScaleFactor: 1, colorScheme: 'light' });

// Two boots of Linux, on a machine that may be doing much else.
test.describe.configure({ timeout: 600_000 });

test('Linux boots, writes, survives a reload, and has its picture taken', async ({ spindle, page }) => {
  const { ready, prompt } = await requireGuest('linux');
  await spindle.open('?demo=linux');
  const first = spindle.terminal();
  await first.until(ready, 180_000);
  await first.until(prompt);
  await first.command('echo "still here after a reload" > /data/note', prompt);
  await first.command('sync', prompt);
  await spindle.flushed();

  await page.reload();
  const second = spindle.terminal();
  await second.until(ready, 180_000);
  await second.until(prompt);
  await second.command('clear', prompt);
  await second.command('uname -a', prompt);
  await second.command('df -h', prompt);
  await second.command('ls -l /data', prompt);
  expect(await second.command('cat /data/note', prompt)).toBe('still here after a reload');
  await second.command('dd if=/dev/zero of=/data/zeroes bs=64k count=64 && sync', prompt);
  await spindle.flushed();

  // The lights are on in the picture, as they are while the guest writes.
  for (const light of ['read', 'write', 'flush']) {
    await page.getByTestId(`light-${light}`).evaluate((element) => element.setAttribute('data-on', ''));
  }
  await page.screenshot({ path: PICTURE });
});

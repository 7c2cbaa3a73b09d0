import { readFileSync } from 'node:fs';
import { expect, requireGuest, test } from './support/fixtures.ts';

// Emulated machines on a busy machine take their time.
test.describe.configure({ timeout: 180_000 });

const PROMPT = 'grub> ';

test('a CD boots read-only, and its drive shows what it reads', async ({ spindle }) => {
  await requireGuest('grub-cd');
  await spindle.open();
  await spindle.page.getByTestId('demo-grub-cd').getByRole('button', { name: 'Boot' }).click();
  const terminal = spindle.terminal();
  await terminal.until('CD-READY');
  await terminal.until(PROMPT);
  expect(await terminal.command('ls /', PROMPT)).toContain('readme.txt');
  await expect(spindle.page.getByTestId('count-read')).toContainText('KiB');
  await spindle.powerOff();
  await expect(spindle.page.getByTestId('library-disk')).toHaveCount(0);
});

test('an ISO is put into the CD drive without being asked', async ({ spindle }) => {
  const { path } = await requireGuest('grub-cd');
  await spindle.open();
  await spindle.choose(path);
  await spindle.page.getByTestId('boot').click();
  await expect(spindle.page.getByTestId('boot-device')).toHaveValue('cdrom');
});

test('keyboard, screen, pause and reset', async ({ spindle, page }) => {
  await requireGuest('grub-cd');
  await spindle.open('?demo=grub-cd');
  const terminal = spindle.terminal();
  await terminal.until('CD-READY');
  await terminal.until(PROMPT);

  const screen = page.getByTestId('screen');
  await screen.click();
  await page.keyboard.type('echo typed', { delay: 60 });
  await page.keyboard.press('Enter');
  await expect(screen).toContainText('typed');
  await page.keyboard.press('Control+Alt+KeyG');
  await expect(screen).not.toBeFocused();

  await page.getByTestId('pause').click();
  await expect(page.getByTestId('machine-state')).toHaveText('Paused');
  await page.getByTestId('pause').click();
  await expect(page.getByTestId('machine-state')).toHaveText('Running');
  await page.getByTestId('reset').click();
  await terminal.until('CD-READY');

  // What is dropped by mistake does not switch it off.
  await page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(['x'], 'x.img'));
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
  });
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
  await expect(page.getByTestId('machine-state')).toHaveText('Running');
});

test('the page works without demo images', async ({ spindle, page }) => {
  await page.route('**/demo/**', (route) => route.fulfill({ status: 404 }));
  await spindle.open();
  await expect(page.getByTestId('no-demo')).toContainText('without demo images');
  const { path } = await requireGuest('grub-cd');
  await spindle.choose(path);
  await spindle.boot();
  await expect(spindle.error).toContainText('SeaBIOS');
});

test('a lost server is an error in the guest, and the page says so', async ({ spindle, server, page }) => {
  const { path } = await requireGuest('grub');
  // So long that no read-ahead has fetched its end before the server goes.
  const image = Buffer.concat([readFileSync(path), Buffer.alloc(32 * 2 ** 20, 0x41)]);
  const url = server.publish('lost.img', image);
  await spindle.open(`?boot=1&url=${encodeURIComponent(url)}`);
  const terminal = spindle.terminal();
  await terminal.until('GRUB-READY');
  await terminal.until(PROMPT);
  server.setHabit('lost.img', { status: 404 });
  // Eight sectors near the end of the disk.
  const answer = await terminal.command('cat (hd0)60000+8', PROMPT);
  expect(answer.slice(0, 200)).toContain('failure reading sector');
  await expect(page.getByTestId('machine-problems')).toContainText('could not read');
});

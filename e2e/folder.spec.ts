/** A folder as a FAT disk: looked into, attached to a machine. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, requireGuest, test } from './support/fixtures.ts';
import { qemuImg, requireQemu } from './support/qemu.ts';
import { bootGrubWithFolder, makeFolder, PROMPT, readyGrub } from './support/papers.ts';

// Emulated machines on a busy machine take their time.
test.describe.configure({ timeout: 180_000 });

test('a folder that was dropped is shown as a disk', async ({ spindle, folder, page }) => {
  const path = makeFolder(folder);
  await spindle.open();
  await spindle.dropPaths(path);
  await expect(page.getByRole('heading', { name: 'papers' })).toBeVisible();
  await expect(page.getByTestId('format')).toHaveText('folder');
  await expect(spindle.fact('Holds')).toHaveText('3 files in 2 folders, 26 bytes');
  await expect(page.getByTestId('map-legend')).toContainText('Zeroes');
});

test('a guest reads the folder on its second disk', async ({ spindle, folder, page }) => {
  await requireGuest('grub');
  await spindle.open();
  await spindle.chooseFolder(makeFolder(folder));
  await bootGrubWithFolder(spindle);
  const terminal = await readyGrub(spindle);
  const listed = await terminal.command('ls (hd1,msdos1)/', PROMPT);
  expect(listed).toContain('hello.txt');
  expect(listed).toContain('Letters of 1851/');
  expect(await terminal.command('cat (hd1,msdos1)/hello.txt', PROMPT)).toBe('hello from a folder');
  await spindle.powerOff();
  await expect(page.getByTestId('library-disk')).toHaveCount(2);
  await expect(page.getByTestId('library-disk').filter({ hasText: 'GRUB shell' })).toContainText(
    'with papers as second disk',
  );
});

test('an image in a folder is opened with what is beside it', async ({ spindle, folder, page }) => {
  requireQemu();
  const path = join(folder, 'machine');
  mkdirSync(path);
  qemuImg('create', '-f', 'vmdk', '-o', 'subformat=twoGbMaxExtentSparse', join(path, 'disk.vmdk'), '64M');
  await spindle.open();
  await spindle.chooseFolder(path);
  await expect(page.getByTestId('images-inside')).toContainText('There is a disk image in it');
  await page.getByRole('button', { name: 'Open disk.vmdk' }).click();
  await expect(page.getByTestId('format')).toHaveText('vmdk');
  await expect(page.getByTestId('chain')).toContainText('in 1 file beside it');
});

test('a folder with nothing in it is said to be empty', async ({ spindle, folder }) => {
  mkdirSync(join(folder, 'nothing', 'inside'), { recursive: true });
  await spindle.open();
  await spindle.dropPaths(join(folder, 'nothing'));
  await expect(spindle.error).toContainText('There are no files in it');
});

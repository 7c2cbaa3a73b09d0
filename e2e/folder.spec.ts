/** A folder as a FAT disk: looked into, attached to a machine, asked for again. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, requireGuest, test } from './support/fixtures.ts';
import type { SpindlePage } from './support/spindle-page.ts';

// Emulated machines on a busy machine take their time.
test.describe.configure({ timeout: 180_000 });

const PROMPT = 'grub> ';

/** @returns the folder's path */
function makeFolder(parent: string): string {
  const path = join(parent, 'papers');
  mkdirSync(join(path, 'Letters of 1851', 'drafts'), { recursive: true });
  writeFileSync(join(path, 'hello.txt'), 'hello from a folder\n');
  writeFileSync(join(path, 'Letters of 1851', 'To the publisher.txt'), 'sir\n');
  writeFileSync(join(path, 'Letters of 1851', 'drafts', 'one.txt'), '1\n');
  return path;
}

async function bootGrubWithFolder(spindle: SpindlePage): Promise<void> {
  await spindle.page.getByTestId('boot').click();
  await expect(spindle.page.getByTestId('machine-dialog')).toContainText('your files are only read');
  await spindle.page.getByTestId('machine-choice').selectOption({ label: 'GRUB shell (new)' });
  await spindle.page.getByTestId('machine-start').click();
}

async function grub(spindle: SpindlePage) {
  const terminal = spindle.terminal();
  await terminal.until('GRUB-READY');
  await terminal.until(PROMPT);
  return terminal;
}

test('a folder that was dropped is shown as a disk', async ({ spindle, folder, page }) => {
  const path = makeFolder(folder);
  await spindle.open();
  await spindle.dropPaths(path);
  await expect(page.getByRole('heading', { name: 'papers' })).toBeVisible();
  await expect(page.getByTestId('format')).toHaveText('folder');
  await expect(spindle.fact('Holds')).toHaveText('3 files in 2 folders, 26 bytes');
  await expect(page.getByTestId('map-legend')).toContainText('Zeroes');
});

test('a guest reads the folder on its second disk, and is told when it has changed', async ({
  spindle,
  folder,
  page,
}) => {
  await requireGuest('grub');
  const path = makeFolder(folder);
  await spindle.open();
  await spindle.chooseFolder(path);
  await bootGrubWithFolder(spindle);
  let terminal = await grub(spindle);
  const listed = await terminal.command('ls (hd1,msdos1)/', PROMPT);
  expect(listed).toContain('hello.txt');
  expect(listed).toContain('Letters of 1851/');
  expect(await terminal.command('cat (hd1,msdos1)/hello.txt', PROMPT)).toBe('hello from a folder');
  await spindle.powerOff();
  await expect(page.getByTestId('library-disk')).toHaveCount(2);
  await expect(page.getByTestId('library-disk').filter({ hasText: 'GRUB shell' })).toContainText(
    'with papers as second disk',
  );

  // A page that was loaded anew has no folder any more. In the meantime it changes.
  await page.reload();
  writeFileSync(join(path, 'hello.txt'), 'hello again\n');
  await page.getByRole('button', { name: 'Boot GRUB shell', exact: true }).first().click();
  await expect(page.getByTestId('ask-base')).toContainText('It stands on a folder of yours');
  await page.getByTestId('base-folder-input').setInputFiles(path);
  await expect(spindle.error).toHaveAttribute('data-kind', 'base-changed');
  await page.getByTestId('start-over-folder').click();
  await page.getByTestId('confirm').click();
  terminal = await grub(spindle);
  expect(await terminal.command('cat (hd1,msdos1)/hello.txt', PROMPT)).toBe('hello again');
  await spindle.powerOff();

  // And the machine goes without it, too.
  await page.reload();
  await page.getByRole('button', { name: 'Boot GRUB shell', exact: true }).first().click();
  await page.getByTestId('boot-without').click();
  terminal = await grub(spindle);
  expect(await terminal.command('ls (hd1,msdos1)/', PROMPT)).toContain('error');
});

test('a folder with nothing in it is said to be empty', async ({ spindle, folder }) => {
  mkdirSync(join(folder, 'nothing', 'inside'), { recursive: true });
  await spindle.open();
  await spindle.dropPaths(join(folder, 'nothing'));
  await expect(spindle.error).toContainText('There are no files in it');
});

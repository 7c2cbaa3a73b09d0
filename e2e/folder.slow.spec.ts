/** A disk over a folder, after the page was loaded anew. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, requireGuest, test } from './support/fixtures.ts';
import { bootGrubWithFolder, makeFolder, PROMPT, readyGrub } from './support/papers.ts';

test('a folder is asked for after a reload; one that has changed is told', async ({ spindle, folder, page }) => {
  await requireGuest('grub');
  const path = makeFolder(folder);
  await spindle.open();
  await spindle.chooseFolder(path);
  await bootGrubWithFolder(spindle);
  await readyGrub(spindle);
  await spindle.powerOff();
  // A page that was loaded anew has no folder any more. In the meantime it changes.
  await page.reload();
  writeFileSync(join(path, 'hello.txt'), 'hello again\n');
  await page.getByRole('button', { name: 'Boot GRUB shell', exact: true }).first().click();
  await expect(page.getByTestId('ask-base')).toContainText('It stands on a folder of yours');
  await page.getByTestId('base-folder-input').setInputFiles(path);
  await expect(spindle.error).toHaveAttribute('data-kind', 'base-changed');
  await page.getByTestId('start-over-folder').click();
  await page.getByTestId('confirm').click();
  let terminal = await readyGrub(spindle);
  expect(await terminal.command('cat (hd1,msdos1)/hello.txt', PROMPT)).toBe('hello again');
  await spindle.powerOff();

  // And the machine goes without it, too.
  await page.reload();
  await page.getByRole('button', { name: 'Boot GRUB shell', exact: true }).first().click();
  await page.getByTestId('boot-without').click();
  terminal = await readyGrub(spindle);
  expect(await terminal.command('ls (hd1,msdos1)/', PROMPT)).toContain('error');
});

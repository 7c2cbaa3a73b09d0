/** A disk over an image in several files, after the page was loaded anew. */
import { bootables } from './support/bootable.ts';
import { expect, requireGuest, test } from './support/fixtures.ts';
import { PROMPT, readyGrub } from './support/papers.ts';

test('all files of a base are asked for together', async ({ spindle, folder, page }) => {
  const { path } = await requireGuest('grub');
  const paths = bootables.find(({ kind }) => kind === 'flat')!.make(path, folder);
  await spindle.open();
  await spindle.choose(...paths);
  await spindle.boot();
  let terminal = await readyGrub(spindle);
  await terminal.command('set message=in-parts', PROMPT);
  await terminal.command('save_env -f /grub/env message', PROMPT);
  await spindle.flushed();

  await page.reload();
  await page.getByTestId('library-disk').getByRole('button', { name: 'Boot' }).click();
  await expect(page.getByTestId('choose-base')).toHaveText('Choose the 2 files of disk.vmdk…');
  await page.getByTestId('base-input').setInputFiles(paths[0]!);
  await expect(page.getByTestId('ask-base')).toContainText('Still missing: disk');
  await page.getByTestId('base-input').setInputFiles(paths[1]!);
  terminal = await readyGrub(spindle);
  await terminal.command('load_env -f /grub/env', PROMPT);
  expect(await terminal.command('echo $message', PROMPT)).toBe('in-parts');
});

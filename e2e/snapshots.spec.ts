/** The machine and its disk, saved together and brought back together. */
import { AxeBuilder } from '@axe-core/playwright';
import { expect, requireGuest, test } from './support/fixtures.ts';

// Emulated machines on a busy machine take their time.
test.describe.configure({ timeout: 180_000 });

const PROMPT = 'grub> ';
const READY = 'GRUB-READY';

test('one click saves machine and disk, and one brings both back', async ({ spindle, page }) => {
  await requireGuest('grub');
  await spindle.open('?demo=grub');
  const terminal = spindle.terminal();
  await terminal.until(READY);
  await terminal.until(PROMPT);
  await terminal.command('set q=before', PROMPT);
  await terminal.command('set message=first', PROMPT);
  await terminal.command('save_env -f /grub/env message', PROMPT);

  await expect(page.getByTestId('snapshot-name')).toHaveValue('Snapshot 1');
  await page.getByTestId('snapshot-save').click();
  await expect(page.getByTestId('snapshot-status')).toHaveText('Snapshot 1 was saved.');
  const row = page.getByTestId('snapshot');
  await expect(row).toHaveCount(1);
  await expect(row).toContainText('MiB');
  await expect(page.getByTestId('machine-state')).toHaveText('Running');

  // The machine goes on, in memory and on its disk.
  await terminal.command('set q=after', PROMPT);
  await terminal.command('set message=second', PROMPT);
  await terminal.command('save_env -f /grub/env message', PROMPT);
  await spindle.flushed();

  await page.getByRole('button', { name: 'Restore Snapshot 1' }).click();
  await page.getByTestId('confirm').click();
  await expect(page.getByTestId('snapshot-status')).toHaveText('Snapshot 1 was restored.');
  expect(await terminal.command('echo [$q]', PROMPT)).toBe('[before]');
  await terminal.command('load_env -f /grub/env', PROMPT);
  expect(await terminal.command('echo $message', PROMPT)).toBe('first');

  // A machine that starts anew reads the disk: it is the earlier one too.
  await page.getByTestId('reset').click();
  await terminal.until(READY);
  await terminal.until(PROMPT);
  await terminal.command('load_env -f /grub/env', PROMPT);
  expect(await terminal.command('echo $message', PROMPT)).toBe('first');
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')).toEqual([]);

  await spindle.powerOff();
  await page.getByTestId('library-disk').getByRole('button', { name: 'Look inside' }).click();
  await expect(page.getByTestId('snapshot')).toHaveCount(1);
  await page.getByTestId('check').click();
  await expect(page.getByTestId('check-result')).toContainText('No errors were found');
  await page.getByRole('button', { name: 'Delete Snapshot 1' }).click();
  await page.getByTestId('confirm').click();
  await expect(page.getByTestId('snapshot')).toHaveCount(0);
  await page.getByTestId('check').click();
  await expect(page.getByTestId('check-result')).toContainText('No errors were found');
});

test('a snapshot is there after a reload, and brings the machine back to where it was', async ({ spindle, page }) => {
  await requireGuest('grub');
  await spindle.open('?demo=grub');
  const terminal = spindle.terminal();
  await terminal.until(READY);
  await terminal.until(PROMPT);
  await terminal.command('set q=kept', PROMPT);
  await page.getByTestId('snapshot-name').fill('before the reload');
  await page.getByTestId('snapshot-save').click();
  await expect(page.getByTestId('snapshot-status')).toHaveText('before the reload was saved.');

  await page.reload();
  const again = spindle.terminal();
  await again.until(READY);
  await again.until(PROMPT);
  await page.getByRole('button', { name: 'Restore before the reload' }).click();
  await page.getByTestId('confirm').click();
  await expect(page.getByTestId('snapshot-status')).toHaveText('before the reload was restored.');
  expect(await again.command('echo [$q]', PROMPT)).toBe('[kept]');
});

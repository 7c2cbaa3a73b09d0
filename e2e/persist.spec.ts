/** The job: a guest boots from a copy-on-write overlay, and its disk survives the page. */
import { copyFileSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, requireGuest, test } from './support/fixtures.ts';
import { qemuImg, requireQemu } from './support/qemu.ts';
import type { SpindlePage } from './support/spindle-page.ts';

// Emulated machines on a busy machine: each test boots one or two.
test.describe.configure({ timeout: 180_000 });

const PROMPT = 'grub> ';
const READY = 'GRUB-READY';

/** GRUB keeps blocks in memory, so what is on the disk shows only after a reload. */
async function saveMessage(spindle: SpindlePage, message: string): Promise<void> {
  const terminal = spindle.terminal();
  await terminal.until(READY);
  await terminal.until(PROMPT);
  await terminal.command(`set message=${message}`, PROMPT);
  await terminal.command('save_env -f /grub/env message', PROMPT);
  await spindle.flushed();
}

async function loadMessage(spindle: SpindlePage): Promise<string> {
  const terminal = spindle.terminal();
  await terminal.until(READY);
  await terminal.until(PROMPT);
  await terminal.command('load_env -f /grub/env', PROMPT);
  return terminal.command('echo $message', PROMPT);
}

test('GRUB over HTTP and an overlay in OPFS: the value is there after a reload', async ({ spindle }) => {
  await requireGuest('grub');
  await spindle.open('?demo=grub');
  await saveMessage(spindle, 'kept-in-opfs');
  await expect(spindle.page.getByTestId('count-write')).not.toHaveText('0');
  await expect(spindle.page.getByTestId('count-flush')).not.toHaveText('0');
  await spindle.page.reload();
  expect(await loadMessage(spindle)).toBe('kept-in-opfs');
});

test('the same with the overlay in IndexedDB', async ({ spindle }) => {
  await requireGuest('grub');
  await spindle.open();
  await spindle.page.getByTestId('demo-grub').getByRole('button', { name: 'Look inside' }).click();
  await spindle.boot({ storage: 'indexeddb' });
  await saveMessage(spindle, 'kept-in-indexeddb');
  await spindle.page.reload();
  await expect(spindle.page.getByTestId('library-disk')).toContainText('kept in IndexedDB');
  await spindle.page.getByTestId('library-disk').getByRole('button', { name: 'Boot' }).click();
  expect(await loadMessage(spindle)).toBe('kept-in-indexeddb');
});

test('the same from a dropped file, which is asked for again', async ({ spindle }) => {
  const { path } = await requireGuest('grub');
  await spindle.open();
  await spindle.drop(path);
  await spindle.boot();
  await saveMessage(spindle, 'kept-over-a-file');

  await spindle.page.reload();
  await spindle.page.getByTestId('library-disk').getByRole('button', { name: 'Boot' }).click();
  await expect(spindle.page.getByTestId('ask-base')).toContainText('Choose grub.img…');
  await spindle.page.getByTestId('base-input').setInputFiles(path);
  expect(await loadMessage(spindle)).toBe('kept-over-a-file');
});

test('a copy of the base is refused until its owner says that it is the right one', async ({ spindle, folder }) => {
  const { path } = await requireGuest('grub');
  const copy = join(folder, 'grub.img');
  copyFileSync(path, copy);
  await spindle.open();
  await spindle.choose(copy);
  await spindle.boot();
  await saveMessage(spindle, 'mine');
  await spindle.page.reload();

  utimesSync(copy, 1_000_000_000, 1_000_000_000);
  await spindle.page.getByTestId('library-disk').getByRole('button', { name: 'Boot' }).click();
  await spindle.page.getByTestId('base-input').setInputFiles(copy);
  await expect(spindle.error).toHaveAttribute('data-kind', 'base-changed');
  await spindle.error.getByText('It is the right one').click();
  expect(await loadMessage(spindle)).toBe('mine');
});

test('another file in the place of the base is refused', async ({ spindle, folder }) => {
  const { path } = await requireGuest('grub');
  await spindle.open();
  await spindle.choose(path);
  await spindle.boot();
  await saveMessage(spindle, 'mine');
  await spindle.page.reload();

  const other = join(folder, 'grub.img');
  const bytes = readFileSync(path);
  bytes.fill(0xaa, 0, 512);
  writeFileSync(other, bytes);
  await spindle.page.getByTestId('library-disk').getByRole('button', { name: 'Boot' }).click();
  await spindle.page.getByTestId('base-input').setInputFiles(other);
  await expect(spindle.error).toHaveAttribute('data-kind', 'base-changed');
});

test('what was written can be downloaded as one file that QEMU agrees with', async ({ spindle, folder, page }) => {
  requireQemu();
  const { path } = await requireGuest('grub');
  // Without a file dialog the page goes the way of other browsers: a file of its own, then a download.
  await page.addInitScript(() => Reflect.deleteProperty(window, 'showSaveFilePicker'));
  await spindle.open('?demo=grub');
  await saveMessage(spindle, 'downloaded');

  const qcow2 = join(folder, 'out.qcow2');
  await (await spindle.download('qcow2')).saveAs(qcow2);
  await expect(page.getByTestId('machine-state')).toHaveText('Running');
  const raw = join(folder, 'out.img');
  await (await spindle.download('raw')).saveAs(raw);

  expect(qemuImg('check', '-f', 'qcow2', qcow2)).toContain('No errors were found');
  expect(qemuImg('compare', '-f', 'qcow2', '-F', 'raw', qcow2, raw)).toContain('Images are identical');
  expect(readFileSync(raw).includes('message=downloaded')).toBe(true);
  expect(readFileSync(path).includes('message=downloaded')).toBe(false);
});

test('start over gives the base back; delete leaves nothing', async ({ spindle }) => {
  await requireGuest('grub');
  await spindle.open('?demo=grub');
  await saveMessage(spindle, 'gone');
  await spindle.powerOff();
  const disk = spindle.page.getByTestId('library-disk');
  await disk.getByRole('button', { name: 'Start over' }).click();
  await spindle.page.getByTestId('confirm').click();
  await disk.getByRole('button', { name: 'Boot' }).click();
  expect(await loadMessage(spindle)).not.toContain('gone');

  await spindle.powerOff();
  await disk.getByRole('button', { name: 'Delete' }).click();
  await spindle.page.getByTestId('confirm').click();
  // The list is gone while the page is busy, too.
  await spindle.start.waitFor();
  await expect(disk).toHaveCount(0);
  const left = await spindle.page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const disks = await root.getDirectoryHandle('disks', { create: true });
    const names: string[] = [];
    for await (const name of disks.keys()) names.push(name);
    return names;
  });
  expect(left).toEqual([]);
});

test('a disk that another tab has is busy there', async ({ spindle, context }) => {
  await requireGuest('grub');
  await spindle.open('?demo=grub');
  await spindle.terminal().until(READY);
  const second = await context.newPage();
  await second.goto('./');
  await second.getByTestId('library-disk').getByRole('button', { name: 'Boot' }).click();
  const error = second.getByTestId('error');
  await expect(error).toHaveAttribute('data-kind', 'busy');
  await expect(error).toContainText('Close it in the other tab');
  await spindle.powerOff();
  await error.getByRole('button', { name: 'Try again' }).click();
  await expect(second.getByTestId('machine-state')).toHaveText('Running');
});

/** States of the page that a person meets rarely: no storage, no space, a damaged disk, odd media. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, requireGuest, test } from './support/fixtures.ts';
import { limitRoom, withProfile } from './support/profile.ts';
import type { SpindlePage } from './support/spindle-page.ts';

// Emulated machines on a busy machine take their time.
test.describe.configure({ timeout: 180_000 });

const PROMPT = 'grub> ';

const SECTOR = 512;

/** A disk of so many bytes whose boot sector holds this code and, from `dataAt` on, this data. */
function bootDisk(size: number, code: readonly number[], dataAt: number, data: readonly number[]): Buffer {
  const disk = Buffer.alloc(size);
  disk.set(code);
  disk.set(data, dataAt);
  disk.set([0x55, 0xaa], SECTOR - 2);
  return disk;
}

/** Writes a word to the first serial port and halts. */
function speakingDisk(size: number, word: string): Buffer {
  const code = [
    ...[0x31, 0xc0, 0x8e, 0xd8], // xor ax, ax; mov ds, ax
    ...[0xbe, 0x40, 0x7c], // mov si, 0x7c40
    ...[0xba, 0xf8, 0x03], // mov dx, 0x3f8
    ...[0xac, 0x84, 0xc0], // lodsb; test al, al
    ...[0x74, 0x03], // jz to hlt
    ...[0xee, 0xeb, 0xf8], // out dx, al; jmp to lodsb
    ...[0xf4, 0xeb, 0xfd], // hlt; jmp to hlt
  ];
  return bootDisk(size, code, 0x40, [...Buffer.from(`${word}\n\0`, 'latin1')]);
}

/** Writes 8 MiB to its disk in pieces of 32 KiB: to the serial port goes a dot for each, `!` for one that failed, `#` at the end. */
function writingDisk(size: number): Buffer {
  const code = [
    ...[0x31, 0xc0, 0x8e, 0xd8], // xor ax, ax; mov ds, ax
    ...[0xbe, 0x40, 0x7c], // mov si, 0x7c40: the packet below
    ...[0xb8, 0x00, 0x43], // next: mov ax, 0x4300: extended write
    ...[0xb2, 0x80, 0xcd, 0x13], // mov dl, 0x80; int 0x13
    ...[0xb0, 0x2e, 0x73, 0x02, 0xb0, 0x21], // mov al, '.'; jnc over; mov al, '!'
    ...[0xba, 0xf8, 0x03, 0xee], // mov dx, 0x3f8; out dx, al
    ...[0x83, 0x06, 0x48, 0x7c, 0x40], // add word [0x7c48], 64: the next sector
    ...[0x81, 0x3e, 0x48, 0x7c, 0x80, 0x40], // cmp word [0x7c48], 128 + 256 * 64
    ...[0x72, 0xe2], // jb next
    ...[0xb0, 0x23, 0xee, 0xf4, 0xeb, 0xfd], // mov al, '#'; out dx, al; hlt; jmp to hlt
  ];
  // 16 bytes, 64 sectors, from 0x1000:0x0000, to sector 128.
  return bootDisk(size, code, 0x40, [0x10, 0, 64, 0, 0, 0, 0, 0x10, 128, 0, 0, 0, 0, 0, 0, 0]);
}

test('a floppy disk is known by its size, and boots', async ({ spindle, folder, page }) => {
  await requireGuest('grub'); // and with it the BIOS
  const path = join(folder, 'floppy.img');
  writeFileSync(path, speakingDisk(1_474_560, 'FLOPPY-OK'));
  await spindle.open();
  await spindle.choose(path);
  await page.getByTestId('boot').click();
  await expect(page.getByTestId('boot-device')).toHaveValue('fda');
  await page.getByTestId('boot-start').click();
  await spindle.terminal().until('FLOPPY-OK');
});

test('a window that keeps nothing says so, and still looks inside and boots CDs', async ({ spindle, page }) => {
  const { path } = await requireGuest('grub-cd');
  await page.addInitScript(() => {
    Object.defineProperty(StorageManager.prototype, 'getDirectory', {
      value: () => Promise.reject(new DOMException('none here', 'SecurityError')),
    });
    Object.defineProperty(window, 'indexedDB', { value: undefined });
  });
  await spindle.open();
  await expect(page.getByTestId('no-storage')).toContainText('keeps nothing');
  await spindle.choose(path);
  await expect(spindle.inspector).toBeVisible();
  await spindle.boot();
  await spindle.terminal().until('CD-READY');
});

test('a full disk stops the machine, and Resume goes on once there is space', async ({ folder, baseURL }) => {
  await requireGuest('grub'); // and with it the BIOS
  const path = join(folder, 'writer.img');
  writeFileSync(path, writingDisk(32 * 2 ** 20));
  await withProfile(folder, baseURL, (spindle) => fillAndResume(spindle, path));
});

async function fillAndResume(spindle: SpindlePage, path: string): Promise<void> {
  const { page } = spindle;
  await spindle.open();
  await spindle.choose(path);
  const giveRoom = await limitRoom(page, 3 * 2 ** 20);
  await spindle.boot();

  await expect(page.getByTestId('machine-state')).toHaveText('Stopped by a disk error', { timeout: 60_000 });
  await expect(spindle.error).toHaveAttribute('data-kind', 'no-space');
  await expect(spindle.error).toContainText('Free some space');
  expect(await spindle.terminal().text()).not.toContain('#');

  await giveRoom();
  await page.getByTestId('resume').click();
  await expect(page.getByTestId('machine-state')).toHaveText('Running');
  expect(await spindle.terminal().until('#')).toBe(`${'.'.repeat(256)}#`);
  await spindle.flushed();
}

test('a damaged disk of one’s own is checked and repaired', async ({ spindle, page }) => {
  await requireGuest('grub');
  await spindle.open('?demo=grub');
  const terminal = spindle.terminal();
  await terminal.until('GRUB-READY');
  await terminal.until(PROMPT);
  await terminal.command('set message=x', PROMPT);
  await terminal.command('save_env -f /grub/env message', PROMPT);
  await spindle.powerOff();

  // The first entry of the L1 table goes: the clusters that it led to are leaked.
  await page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const disks = await root.getDirectoryHandle('disks');
    for await (const handle of disks.values()) {
      const file = handle as FileSystemFileHandle;
      const header = new DataView(await (await file.getFile()).slice(0, 48).arrayBuffer());
      const writable = await file.createWritable({ keepExistingData: true });
      await writable.write({ type: 'write', position: Number(header.getBigUint64(40)), data: new Uint8Array(8) });
      await writable.close();
    }
  });

  await page.getByTestId('library-disk').getByRole('button', { name: 'Look inside' }).click();
  await page.getByTestId('check').click();
  await expect(page.getByTestId('check-result')).toContainText('found');
  await page.getByTestId('repair').click();
  await expect(page.getByTestId('check-result')).toContainText('repaired');
  await page.getByTestId('check').click();
  await expect(page.getByTestId('check-result')).toContainText('No errors were found');
});

test('a download that is cancelled leaves nothing behind', async ({ spindle, page, server }) => {
  await page.addInitScript(() => Reflect.deleteProperty(window, 'showSaveFilePicker'));
  const url = server.publish('slow.img', Buffer.alloc(64 * 2 ** 20, 7));
  await spindle.open(`?url=${encodeURIComponent(url)}`);
  await spindle.inspector.waitFor();
  server.setHabit('slow.img', { delayMs: 500 });
  await page.getByTestId('download').click();
  await expect(page.getByTestId('download-status')).toContainText('slow.qcow2');
  await page.getByTestId('download-cancel').click();
  await expect(page.getByTestId('download-status')).toHaveText('Stopped. Nothing of slow.qcow2 was kept.');
  const left = await page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle('downloads');
    const names: string[] = [];
    for await (const name of folder.keys()) names.push(name);
    return names;
  });
  expect(left).toEqual([]);
  // The disk answers again.
  server.setHabit('slow.img', {});
  await page.getByRole('button', { name: 'Read again' }).click();
  await expect(page.getByTestId('map-legend')).toContainText('Data 64 MiB');
});

/** Packed images: looked at, unpacked into the browser's storage, opened. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { makeZip } from '../test/support/zip-builder.ts';
import { expect, test } from './support/fixtures.ts';
import { qemuImg, qemuIo, requireQemu } from './support/qemu.ts';
import { limitRoom, withProfile } from './support/profile.ts';
import type { SpindlePage } from './support/spindle-page.ts';

/** A qcow2 with a mebibyte of data. */
function makeImage(folder: string): string {
  requireQemu();
  const path = join(folder, 'disk.qcow2');
  qemuImg('create', '-f', 'qcow2', path, '64M');
  qemuIo(path, 'qcow2', 'write -P 7 16M 1M');
  return path;
}

function gzipped(path: string): string {
  const packed = `${path}.gz`;
  writeFileSync(packed, gzipSync(readFileSync(path)));
  return packed;
}

async function unpackedNames(spindle: SpindlePage): Promise<string[]> {
  const files = await spindle.page.evaluate(async () => {
    const names: string[] = [];
    const walk = async (folder: FileSystemDirectoryHandle, path: string): Promise<void> => {
      for await (const [name, entry] of folder.entries()) {
        if (entry.kind === 'directory') await walk(entry, `${path}${name}/`);
        else names.push(`${path}${name}`);
      }
    };
    await walk(await navigator.storage.getDirectory(), '');
    return names;
  });
  return files.toSorted();
}

test('a gzip file around an image is unpacked and opened, and stays until it is deleted', async ({
  spindle,
  folder,
  page,
}) => {
  await spindle.open();
  await spindle.drop(gzipped(makeImage(folder)));
  await expect(page.getByTestId('archive-kind')).toHaveText('gzip');
  await expect(spindle.fact('Unpacked')).toHaveText('not known before it is unpacked');
  await page.getByTestId('unpack-start').click();
  await expect(page.getByRole('heading', { name: 'disk.qcow2' })).toBeVisible();
  await expect(page.getByTestId('format')).toHaveText('qcow2');
  await expect(page.getByTestId('map-legend')).toContainText('Data 1 MiB');

  await page.reload();
  const image = page.getByTestId('unpacked-image');
  await expect(image).toContainText('disk.qcow2');
  await image.getByRole('button', { name: 'Look inside' }).click();
  await expect(page.getByTestId('map-legend')).toContainText('Data 1 MiB');
  await page.getByTestId('back').click();
  await image.getByRole('button', { name: 'Delete' }).click();
  await page.getByTestId('confirm').click();
  await expect(image).toHaveCount(0);
  expect(await unpackedNames(spindle)).toEqual([]);
});

test('of a zip file with several files one is chosen, and a name that is taken is told', async ({
  spindle,
  folder,
  page,
}) => {
  const path = makeImage(folder);
  const zip = join(folder, 'images.zip');
  const small = Buffer.alloc(4096, 'small ');
  writeFileSync(
    zip,
    makeZip([
      { name: 'notes/read me.txt', data: small },
      { name: 'images/disk.qcow2', data: readFileSync(path) },
    ]),
  );
  await spindle.open();
  await spindle.choose(zip);
  await expect(page.getByTestId('archive-kind')).toHaveText('zip');
  await expect(page.getByTestId('unpack-entry').locator('option')).toHaveText([
    'notes/read me.txt (4 KiB)',
    /^images\/disk\.qcow2 \(1\.\d+ MiB\)$/,
  ]);
  await expect(page.getByTestId('unpack-name')).toHaveValue('disk.qcow2');
  await page.getByTestId('unpack-start').click();
  await expect(page.getByTestId('map-legend')).toContainText('Data 1 MiB');
  await page.getByTestId('back').click();

  // The other one, under the name of the first.
  await spindle.choose(zip);
  await page.getByTestId('unpack-entry').selectOption('0');
  await expect(page.getByTestId('unpack-name')).toHaveValue('read me.txt');
  await page.getByTestId('unpack-name').fill('disk.qcow2');
  await page.getByTestId('unpack-start').click();
  await expect(spindle.error).toHaveAttribute('data-kind', 'exists');
  await page.getByTestId('open-existing').click();
  await expect(page.getByTestId('format')).toHaveText('qcow2');
  await page.getByTestId('back').click();

  await spindle.choose(zip);
  await page.getByTestId('unpack-entry').selectOption('0');
  await page.getByTestId('unpack-name').fill('disk.qcow2');
  await page.getByTestId('unpack-name').press('Enter');
  await page.getByTestId('unpack-replace').click();
  await page.getByTestId('confirm').click();
  await expect(page.getByTestId('format')).toHaveText('raw');
  await expect(spindle.fact('Virtual size')).toContainText('4 KiB');
});

test('an overlay and its packed base are one chain', async ({ spindle, folder, page }) => {
  const base = makeImage(folder);
  const overlay = join(folder, 'overlay.qcow2');
  qemuImg('create', '-f', 'qcow2', '-b', base, '-F', 'qcow2', overlay);
  execFileSync('xz', ['-0', base]);
  await spindle.open();
  await spindle.choose(overlay, `${base}.xz`);
  await expect(page.getByTestId('archive-kind')).toHaveText('xz');
  await page.getByTestId('unpack-start').click();
  await expect(page.getByRole('heading', { name: 'overlay.qcow2' })).toBeVisible();
  await expect(page.getByTestId('map-legend')).toContainText('Data in disk.qcow2 1 MiB');
});

test('a damaged archive is told, and leaves nothing', async ({ spindle, folder, page }) => {
  const packed = gzipped(makeImage(folder));
  const bytes = readFileSync(packed);
  // A byte of the checksum.
  bytes[bytes.length - 8]! ^= 1;
  writeFileSync(packed, bytes);
  await spindle.open();
  await spindle.choose(packed);
  await page.getByTestId('unpack-start').click();
  await expect(spindle.error).toHaveAttribute('data-kind', 'corrupt');
  await expect(spindle.error).toContainText(`Unpacking ${basename(packed)}`);
  expect(await unpackedNames(spindle)).toEqual([]);
  await page.getByTestId('as-it-is').click();
  await expect(page.getByTestId('format')).toHaveText('raw');
});

test('unpacking is stopped, and nothing is kept', async ({ spindle, server, page }) => {
  const url = server.publish('slow.img.gz', gzipSync(Buffer.alloc(32 * 2 ** 20, 'not slow by itself '), { level: 0 }));
  await spindle.open(`?url=${encodeURIComponent(url)}`);
  await page.getByTestId('unpack').waitFor();
  server.setHabit('slow.img.gz', { delayMs: 300 });
  await page.getByTestId('unpack-start').click();
  await expect(page.getByTestId('unpack-status')).toContainText('of 32 MiB read');
  await page.getByTestId('unpack-cancel').click();
  await expect(page.getByTestId('unpack-status')).toHaveText('Stopped. Nothing of slow.img was kept.');
  expect(await unpackedNames(spindle)).toEqual([]);
});

test('an image that has no room is told so', async ({ folder, baseURL }) => {
  const path = join(folder, 'large.img.gz');
  writeFileSync(path, gzipSync(Buffer.alloc(8 * 2 ** 20, 'much of it '), { level: 1 }));
  await withProfile(folder, baseURL, async (spindle) => {
    const { page } = spindle;
    await spindle.open();
    await spindle.start.waitFor();
    await limitRoom(page, 3 * 2 ** 20);
    await spindle.choose(path);
    await page.getByTestId('unpack-start').click();
    await expect(spindle.error).toHaveAttribute('data-kind', 'no-space');
    await expect(spindle.error).toContainText('large.img does not fit into the space that this browser gives the page');
    expect(await unpackedNames(spindle)).toEqual([]);
  });
});

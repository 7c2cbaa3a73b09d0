import { closeSync, openSync, readFileSync, readSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { expect, test } from './support/fixtures.ts';
import { qemuImg, qemuIo, requireQemu } from './support/qemu.ts';

test.beforeEach(() => requireQemu());

/** A base of 64 MiB with data at its start, and an overlay with data at 32 MiB and a zeroed megabyte. */
function makeChain(folder: string): { readonly base: string; readonly overlay: string } {
  const base = join(folder, 'base.img');
  const overlay = join(folder, 'overlay.qcow2');
  qemuImg('create', '-f', 'raw', base, '64M');
  qemuIo(base, 'raw', 'write -P 1 0 4M');
  qemuImg('create', '-f', 'qcow2', '-b', base, '-F', 'raw', overlay);
  qemuIo(overlay, 'qcow2', 'write -P 2 32M 2M', 'write -z 40M 1M');
  return { base, overlay };
}

test('shows what a dropped qcow2 is, maps it and checks it', async ({ spindle, folder }) => {
  const path = join(folder, 'disk.qcow2');
  qemuImg('create', '-f', 'qcow2', '-o', 'cluster_size=32k', path, '100M');
  qemuIo(path, 'qcow2', 'write -P 7 1M 3M');
  await spindle.open();
  await spindle.drop(path);

  await expect(spindle.page.getByRole('heading', { name: 'disk.qcow2' })).toBeVisible();
  await expect(spindle.page.getByTestId('format')).toHaveText('qcow2');
  await expect(spindle.fact('Format')).toContainText('score 100 of 100');
  await expect(spindle.fact('Virtual size')).toHaveText('100 MiB (104,857,600 bytes)');
  await expect(spindle.fact('Cluster size')).toContainText('32 KiB');
  await expect(spindle.fact('Compat')).toHaveText('1.1');
  await expect(spindle.page.getByTestId('map-legend')).toContainText('Data 3 MiB');
  await expect(spindle.page.getByTestId('map-legend')).toContainText('Not allocated 97 MiB');

  await spindle.page.getByTestId('check').click();
  await expect(spindle.page.getByTestId('check-result')).toContainText('No errors were found');
});

test('the map is read with the keyboard', async ({ spindle, folder }) => {
  const path = join(folder, 'disk.qcow2');
  qemuImg('create', '-f', 'qcow2', path, '64M');
  qemuIo(path, 'qcow2', 'write -P 7 16M 1M');
  await spindle.open();
  await spindle.choose(path);
  await expect(spindle.page.getByTestId('map-legend')).toContainText('Data 1 MiB');
  const map = spindle.page.getByTestId('map');
  await map.focus();
  await map.press('Home');
  await expect(map).toHaveAttribute('aria-valuetext', /^Not allocated: 0x0 – 0xffffff, 16 MiB/);
  await map.press('PageDown');
  await expect(map).toHaveAttribute('aria-valuetext', /^Data: 0x1000000 – 0x10fffff, 1 MiB/);
  await expect(map).toHaveAttribute('aria-valuenow', String(16 * 2 ** 20));
});

test('an overlay and its base, dropped together, are one chain', async ({ spindle, folder }) => {
  const { base, overlay } = makeChain(folder);
  await spindle.open();
  await spindle.choose(base, overlay);
  await expect(spindle.page.getByRole('heading', { name: 'overlay.qcow2' })).toBeVisible();
  await expect(spindle.page.getByTestId('chain').getByRole('listitem')).toHaveCount(2);
  const legend = spindle.page.getByTestId('map-legend');
  await expect(legend).toContainText('Data in overlay.qcow2 2 MiB');
  await expect(legend).toContainText('Data in base.img');
  await expect(legend).toContainText('Zeroes');
});

test('a missing base is asked for by name, and nothing is opened unasked', async ({ spindle, folder }) => {
  const { base, overlay } = makeChain(folder);
  await spindle.open();
  await spindle.choose(overlay);
  const notice = spindle.page.getByTestId('missing-base');
  await expect(notice).toContainText('overlay.qcow2 needs its base');
  await expect(notice.getByTestId('choose-base')).toHaveText('Choose base.img…');
  await expect(spindle.page.getByTestId('boot')).toBeHidden();

  await notice.getByTestId('without-base').click();
  await expect(spindle.page.getByTestId('map-legend')).toContainText('Data 2 MiB');
  await spindle.page.getByTestId('back').click();

  await spindle.choose(overlay);
  await spindle.page.getByTestId('base-input').setInputFiles(base);
  await expect(spindle.page.getByTestId('missing-base')).toBeHidden();
  await expect(spindle.page.getByTestId('chain').getByRole('listitem')).toHaveCount(2);
  await expect(spindle.page.getByTestId('map-legend')).toContainText('Data in base.img');
});

test('an image at an address is opened over ranges', async ({ spindle, folder, server }) => {
  const path = join(folder, 'disk.qcow2');
  qemuImg('create', '-f', 'qcow2', path, '64M');
  qemuIo(path, 'qcow2', 'write -P 7 0 1M');
  const url = server.publish('remote.qcow2', readFileSync(path));
  await spindle.open();
  await spindle.start.waitFor();
  await spindle.page.getByTestId('url-input').fill(url);
  await spindle.page.getByTestId('url-open').click();
  await expect(spindle.page.getByTestId('map-legend')).toContainText('Data 1 MiB');
  expect(server.requestsOf('remote.qcow2').some(({ range }) => range !== undefined)).toBe(true);
});

test('an image in several files is one disk, and what is missing of it is asked for by name', async ({
  spindle,
  folder,
  page,
}) => {
  const raw = join(folder, 'disk.img');
  qemuImg('create', '-f', 'raw', raw, '64M');
  qemuIo(raw, 'raw', 'write -P 1 16M 3M');
  const paths = ['disk.vmdk', 'disk-flat.vmdk'].map((name) => join(folder, name));
  qemuImg('convert', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=monolithicFlat', raw, paths[0]!);
  await spindle.open();
  await spindle.choose(...paths.toReversed());
  await expect(page.getByRole('heading', { name: 'disk.vmdk' })).toBeVisible();
  await expect(page.getByTestId('chain')).toContainText('in 1 file beside it');
  await expect(page.getByTestId('map-legend')).toContainText('Data');
  await page.getByTestId('back').click();

  await spindle.choose(paths[0]!);
  const notice = page.getByTestId('missing-base');
  await expect(notice).toContainText('disk.vmdk needs disk-flat.vmdk');
  await expect(page.getByTestId('boot')).toBeHidden();
  await page.getByTestId('base-input').setInputFiles(paths[1]!);
  await expect(notice).toBeHidden();
  await expect(page.getByTestId('map-legend')).toContainText('Data');
});

test.describe('errors say what happened, where, and what to do', () => {
  test('a truncated image', async ({ spindle, folder }) => {
    const path = join(folder, 'short.qcow2');
    qemuImg('create', '-f', 'qcow2', path, '64M');
    truncateSync(path, 100);
    await spindle.open();
    await spindle.choose(path);
    await expect(spindle.error).toHaveAttribute('data-kind', 'corrupt');
    await expect(spindle.error).toContainText('Opening short.qcow2');
    await expect(spindle.error).toContainText('copy it again');
    await spindle.error.getByText('Details').click();
    await expect(spindle.error.locator('pre')).toContainText('BlockError (corrupt)');
    await expect(spindle.start).toBeVisible();
  });

  test('a feature that is not supported is named', async ({ spindle, folder }) => {
    const path = join(folder, 'from-the-future.qcow2');
    qemuImg('create', '-f', 'qcow2', path, '1M');
    const bytes = readFileSync(path);
    // Bit 62 of the features that a program must know to open the image.
    bytes[72] = 0x40;
    writeFileSync(path, bytes);
    await spindle.open();
    await spindle.choose(path);
    await expect(spindle.error).toHaveAttribute('data-kind', 'unsupported');
    await expect(spindle.error).toContainText(/bit 62/i);
  });

  test('an address that is not there', async ({ spindle, server }) => {
    await spindle.open(`?url=${encodeURIComponent(`${server.origin}/file/none.img`)}`);
    await expect(spindle.error).toHaveAttribute('data-kind', 'not-found');
    await expect(spindle.error).toContainText('none.img');
  });

  test('a chain that goes round in a circle', async ({ spindle, folder }) => {
    const [one, two] = [join(folder, 'one.qcow2'), join(folder, 'two.qcow2')];
    qemuImg('create', '-f', 'qcow2', one, '1M');
    qemuImg('create', '-f', 'qcow2', '-b', one, '-F', 'qcow2', two);
    qemuImg('rebase', '-u', '-b', two, '-F', 'qcow2', one);
    await spindle.open();
    await spindle.choose(one, two);
    await expect(spindle.error).toContainText('goes round in a circle');
  });

  test('an empty file', async ({ spindle, folder }) => {
    const path = join(folder, 'empty.img');
    writeFileSync(path, '');
    await spindle.open();
    await spindle.choose(path);
    await expect(spindle.page.getByTestId('inspector').or(spindle.error)).toBeVisible();
  });
});

test('damage is found, and a repair is not offered for what is only read', async ({ spindle, folder }) => {
  const path = join(folder, 'leak.qcow2');
  qemuImg('create', '-f', 'qcow2', path, '16M');
  qemuIo(path, 'qcow2', 'write -P 7 0 1M');
  // The L1 table's only entry goes: what it led to is leaked.
  const file = openSync(path, 'r+');
  const header = Buffer.alloc(48);
  readSync(file, header, 0, 48, 0);
  writeSync(file, Buffer.alloc(8), 0, 8, Number(header.readBigUInt64BE(40)));
  closeSync(file);
  await spindle.open();
  await spindle.choose(path);
  await spindle.page.getByTestId('check').click();
  await expect(spindle.page.getByTestId('check-result')).toContainText(/leaked cluster/);
  await expect(spindle.page.getByTestId('repair')).toBeHidden();
});

/** Gives a wrong passphrase first, and then the right one. */
async function unlock(page: Page): Promise<void> {
  await page.getByTestId('passphrase').fill('close sesame');
  await page.getByTestId('passphrase-open').click();
  await expect(page.getByTestId('passphrase-wrong')).toBeVisible();
  await page.getByTestId('passphrase').fill('open sesame');
  await page.getByTestId('passphrase-open').click();
}

test('an encrypted image is shown once its passphrase is right', async ({ spindle, folder }) => {
  const path = join(folder, 'secret.qcow2');
  const secret = ['--object', 'secret,id=s,data=open sesame'];
  const options = 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10';
  qemuImg('create', ...secret, '-f', 'qcow2', '-o', options, path, '16M');
  await spindle.open();
  await spindle.drop(path);
  await unlock(spindle.page);
  // Passphrases are slow on purpose.
  await expect(spindle.page.getByRole('heading', { name: 'secret.qcow2' })).toBeVisible({ timeout: 30_000 });
  await expect(spindle.fact('Encrypted')).toHaveText('yes');
  await expect(spindle.page.getByTestId('map-legend')).toContainText('Not allocated 16 MiB');
});

test('a LUKS2 image is shown whole, and its disk once its passphrase is right', async ({ spindle, folder }) => {
  const path = join(folder, 'vault.img');
  writeFileSync(path, new Uint8Array(2 * 2 ** 20));
  const cost = ['--pbkdf-force-iterations', '4', '--pbkdf-memory', '64', '--pbkdf-parallel', '4', '--offset', '2048'];
  const made = spawnSync(
    'cryptsetup',
    ['-q', 'luksFormat', '--type', 'luks2', '--label', 'vault', ...cost, path, '-'],
    {
      input: 'open sesame',
    },
  );
  test.skip(made.error !== undefined, 'cryptsetup is not installed; Debian has it in cryptsetup-bin');
  expect(made.status).toBe(0);
  await spindle.open();
  await spindle.drop(path);
  await unlock(spindle.page);
  await expect(spindle.page.getByRole('heading', { name: 'vault.img' })).toBeVisible();
  await expect(spindle.fact('Virtual size')).toContainText('1 MiB');
  await expect(spindle.fact('Label')).toHaveText('vault');
  await expect(spindle.fact('Version')).toHaveText('2');
  await expect(spindle.page.getByTestId('facts')).toContainText('argon2id');
});

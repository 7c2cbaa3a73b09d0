import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { AxeBuilder } from '@axe-core/playwright';
import type { Page } from '@playwright/test';
import { expect, requireGuest, test } from './support/fixtures.ts';
import { makeFolder } from './support/papers.ts';
import { qemuImg, qemuIo, requireQemu } from './support/qemu.ts';

// Emulated machines on a busy machine take their time.
test.describe.configure({ timeout: 180_000 });

async function expectAccessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const bad = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  expect(bad.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' | ')}`)).toEqual([]);
}

for (const colorScheme of ['light', 'dark'] as const) {
  test.describe(colorScheme, () => {
    test.use({ colorScheme });

    test('start, about', async ({ spindle, page }) => {
      await spindle.open();
      await spindle.start.waitFor();
      await expectAccessible(page);
      await page.getByRole('button', { name: 'About' }).click();
      await page.getByTestId('about').waitFor();
      await expectAccessible(page);
    });

    test('inspector, boot dialog', async ({ spindle, page, folder }) => {
      requireQemu();
      const path = join(folder, 'disk.qcow2');
      qemuImg('create', '-f', 'qcow2', path, '64M');
      qemuIo(path, 'qcow2', 'write -P 1 0 1M');
      await spindle.open();
      await spindle.choose(path);
      await page.getByTestId('check').click();
      await expect(page.getByTestId('check-result')).toContainText('No errors');
      await page.getByText('Statistics').click();
      await expectAccessible(page);
      await page.getByTestId('boot').click();
      await expectAccessible(page);
    });

    test('packed image, folder, their dialogs', async ({ spindle, page, folder }) => {
      const path = join(folder, 'disk.img');
      writeFileSync(`${path}.gz`, gzipSync(Buffer.alloc(65_536, 'disk ')));
      await spindle.open();
      await spindle.choose(`${path}.gz`);
      await page.getByTestId('unpack').waitFor();
      await expectAccessible(page);
      await page.getByRole('button', { name: 'Back' }).click();
      await spindle.chooseFolder(makeFolder(folder));
      await expect(page.getByTestId('map-legend')).toContainText('Zeroes');
      await expectAccessible(page);
      await page.getByTestId('boot').click();
      await page.getByTestId('machine-dialog').waitFor();
      await expectAccessible(page);
    });

    test('error', async ({ spindle, page }) => {
      await spindle.open('?url=http://127.0.0.1:9/none.img');
      await spindle.error.waitFor({ timeout: 30_000 });
      await expectAccessible(page);
    });

    test('machine', async ({ spindle, page }) => {
      await requireGuest('grub-cd');
      await spindle.open('?demo=grub-cd');
      await spindle.terminal().until('CD-READY');
      await page.getByText('Output as text').click();
      await expectAccessible(page);
    });
  });
}

test('the whole start page is reached with the Tab key', async ({ spindle, page }) => {
  await spindle.open();
  await spindle.start.waitFor();
  const seen: string[] = [];
  for (let step = 0; step < 30; step++) {
    await page.keyboard.press('Tab');
    const name = await page.evaluate(() => {
      const element = document.activeElement;
      return element?.getAttribute('aria-label') ?? element?.textContent?.trim() ?? '';
    });
    seen.push(name);
  }
  for (const name of ['About', 'Choose files…', 'Choose a folder…', 'Address of an image', 'Open address'])
    expect(seen).toContain(name);
});

/** The GRUB guest boots from every format that there is, in one page. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { bootables } from './support/bootable.ts';
import { bootFrom } from './support/boot-from.ts';
import { expect, test } from './support/fixtures.ts';
import { SpindlePage } from './support/spindle-page.ts';

test.describe.configure({ timeout: 120_000 });

let page: Page;
let spindle: SpindlePage;
let folder: string;

test.beforeAll(async ({ browser }) => {
  folder = mkdtempSync(join(tmpdir(), 'spindle-formats-'));
  page = await browser.newPage();
  spindle = new SpindlePage(page);
  await spindle.open();
});

test.afterAll(async () => {
  await page.close();
  rmSync(folder, { recursive: true, force: true });
});

for (const bootable of bootables) {
  test(`GRUB boots from ${bootable.format} ${bootable.kind ?? ''}`, async () => {
    await bootFrom(spindle, bootable, folder);
    await spindle.powerOff();
    expect(spindle.pageErrors).toEqual([]);
  });
}

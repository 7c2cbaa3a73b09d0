/** A window with a profile on disk: the runner's own keep their files in memory, and no quota holds there. */
import { join } from 'node:path';
import { chromium, expect, type Page } from '@playwright/test';
import { chromiumArguments, chromiumPath } from '../../scripts/chromium.ts';
import { SpindlePage } from './spindle-page.ts';

/** @param folder for the profile */
export async function withProfile(
  folder: string,
  baseURL: string | undefined,
  use: (spindle: SpindlePage) => Promise<void>,
): Promise<void> {
  const context = await chromium.launchPersistentContext(join(folder, 'profile'), {
    executablePath: chromiumPath,
    args: chromiumArguments,
    ...(baseURL === undefined ? {} : { baseURL }),
  });
  try {
    const spindle = new SpindlePage(await context.newPage());
    await use(spindle);
    expect(spindle.pageErrors).toEqual([]);
  } finally {
    await context.close();
  }
}

/** @returns gives all the room back. @param room bytes that the page may store from now on */
export async function limitRoom(page: Page, room: number): Promise<() => Promise<void>> {
  const session = await page.context().newCDPSession(page);
  const { origin } = new URL(page.url());
  const { usage = 0 } = await page.evaluate(() => navigator.storage.estimate());
  await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: usage + room });
  return async () => void (await session.send('Storage.overrideQuotaForOrigin', { origin }));
}

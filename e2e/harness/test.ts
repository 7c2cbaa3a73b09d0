/** Playwright's `test` with what the slow specs share: the site (once a worker), a profile (one a test), the guests. */
import { test as base } from '@playwright/test';
import type { DemoImage } from '../../scripts/guest/manifest.ts';
import { ensureGuests, guestImage } from '../../test/support/guest.ts';
import { Profile } from './browser.ts';
import { Site } from './site.ts';

export { expect } from '@playwright/test';

interface TestFixtures {
  readonly profile: Profile;
  readonly linux: DemoImage & { readonly path: string };
  readonly grub: DemoImage & { readonly path: string };
}

interface WorkerFixtures {
  readonly site: Site;
}

export const test = base.extend<TestFixtures, WorkerFixtures>({
  site: [
    // oxlint-disable-next-line no-empty-pattern -- Playwright reads the names of the fixtures that one needs
    async ({}, use) => {
      await using site = await Site.open();
      await use(site);
    },
    { scope: 'worker' },
  ],
  // oxlint-disable-next-line no-empty-pattern
  profile: async ({}, use) => {
    await using profile = new Profile();
    await use(profile);
  },
  // oxlint-disable-next-line no-empty-pattern
  linux: async ({}, use) => use(await guest('linux')),
  // oxlint-disable-next-line no-empty-pattern
  grub: async ({}, use) => use(await guest('grub')),
});

async function guest(id: 'linux' | 'grub'): Promise<DemoImage & { readonly path: string }> {
  const { manifest, unavailable } = await ensureGuests();
  test.skip(manifest === undefined, `the guests cannot be built here: ${unavailable}`);
  return guestImage(manifest!, id);
}

import { spawnSync } from 'node:child_process';
import { defineConfig } from '@playwright/test';
import { chromiumArguments, chromiumPath } from './scripts/chromium.ts';

// e2e/ drives the built page in Debian's Chromium. Quick specs are *.spec.ts; *.slow.spec.ts run where SPINDLE_SLOW is 1.
const slow = process.env['SPINDLE_SLOW'] === '1';

/** A port that nobody uses. Playwright reads this file in several processes, so the first one's choice is kept. */
function freePort(): string {
  const code = `const s = require('net').createServer().listen(0, '127.0.0.1', () => { console.log(s.address().port); s.close(); })`;
  return spawnSync(process.execPath, ['-e', code], { encoding: 'utf8' }).stdout.trim();
}
process.env['SPINDLE_E2E_PORT'] ??= freePort();
const address = `http://127.0.0.1:${process.env['SPINDLE_E2E_PORT']}/spindle/`;

export default defineConfig({
  testDir: 'e2e',
  testMatch: slow ? '**/*.slow.spec.ts' : '**/*.spec.ts',
  testIgnore: slow ? [] : '**/*.slow.spec.ts',
  timeout: slow ? 300_000 : 60_000,
  forbidOnly: process.env['CI'] !== undefined,
  workers: 2,
  reporter: 'list',
  use: {
    baseURL: address,
    headless: true,
    launchOptions: { executablePath: chromiumPath, args: chromiumArguments },
    trace: 'retain-on-failure',
  },
  webServer: {
    command: `node scripts/serve.ts dist/page ${process.env['SPINDLE_E2E_PORT']}`,
    url: address,
    reuseExistingServer: false,
  },
});

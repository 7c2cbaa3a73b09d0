import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';
import { chromiumArguments, chromiumPath } from './scripts/chromium.ts';
import { isolationHeaders } from './scripts/isolation.ts';
import LongestFirst from './scripts/test/longest-first.ts';

// Two projects, each with a quick and a slow tier (SPINDLE_SLOW=1):
//   node      test/**/*.test.ts            slow: *.slow.test.ts
//   browser   test/**/*.browser.test.ts    slow: *.slow.browser.test.ts
// Tests that need qemu-img or qemu-io live in test/interop/ and belong to `node`; SPINDLE_TESTS=unit leaves them out,
// SPINDLE_TESTS=interop runs them alone.
const slow = process.env['SPINDLE_SLOW'] === '1';
const nodeTests = process.env['SPINDLE_TESTS'] === 'interop' ? 'test/interop/**' : 'test/**';
const leftOut = process.env['SPINDLE_TESTS'] === 'unit' ? ['test/interop/**'] : [];
const testTimeout = slow ? 600_000 : 30_000;

export default defineConfig({
  server: { headers: isolationHeaders },
  test: {
    passWithNoTests: true,
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    setupFiles: ['test/support/setup.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'node',
          environment: 'node',
          include: [`${nodeTests}/${slow ? '*.slow.test.ts' : '*.test.ts'}`],
          exclude: slow ? leftOut : ['test/**/*.browser.test.ts', 'test/**/*.slow.test.ts', ...leftOut],
          testTimeout,
          hookTimeout: testTimeout,
        },
      },
      {
        extends: true,
        // Named, or the first test that imports one makes vite bundle it and reload the page in the middle of the run.
        optimizeDeps: {
          include: [
            '@hpcc-js/wasm-zstd',
            '@noble/ciphers/aes.js',
            '@noble/hashes/legacy.js',
            '@noble/hashes/pbkdf2.js',
            '@noble/hashes/sha2.js',
            '@noble/hashes/utils.js',
            'comlink',
            'fast-check',
            'idb-keyval',
            'pako',
            'xz-decompress',
          ],
        },
        test: {
          name: 'browser',
          include: slow ? ['test/**/*.slow.browser.test.ts'] : ['test/**/*.browser.test.ts'],
          exclude: slow ? [] : ['test/**/*.slow.browser.test.ts'],
          testTimeout,
          hookTimeout: testTimeout,
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({ launchOptions: { executablePath: chromiumPath, args: chromiumArguments } }),
            instances: [{ browser: 'chromium' }],
          },
        },
      },
    ],
  },
});

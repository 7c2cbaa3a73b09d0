import { zstdCompressSync } from 'node:zlib';
import { expect, test } from 'vitest';

test('npm scripts run on the pinned Node, which has zstd and strips types', () => {
  expect(process.versions.node.split('.')[0]).toBe('24');
  expect(typeof zstdCompressSync).toBe('function');
});

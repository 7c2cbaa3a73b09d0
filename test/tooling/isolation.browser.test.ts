import { expect, test } from 'vitest';

test('tests run on a cross-origin isolated page with the storage that drivers need', () => {
  expect(globalThis.crossOriginIsolated).toBe(true);
  expect(typeof navigator.storage.getDirectory).toBe('function');
  expect(new SharedArrayBuffer(8).byteLength).toBe(8);
});

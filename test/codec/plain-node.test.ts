import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

/** A text, packed by `xz --check=crc32`. */
const XZ = '/Td6WFoAAAFpIt42AgAhARYAAAB0L+WjAQAGc3BpbmRsZQAAhV9bvwABGwcS69QXkEKZDQEAAAAAAVla';

const SCRIPT = `
  import { startAsync } from './src/block/co.ts';
  import { argon2InWebAssembly } from './src/codec/argon2.ts';
  import { portableCompression } from './src/codec/index.ts';
  import { decompressXz } from './src/codec/xz-source.ts';
  const unpacked = new Uint8Array(7);
  await startAsync(decompressXz(Buffer.from('${XZ}', 'base64'), unpacked));
  const zstd = await portableCompression.load('zstd');
  const again = new Uint8Array(7000);
  zstd.decompress(zstd.compress(new Uint8Array(7000).fill(65)), again);
  const bytes = new TextEncoder().encode('12345678');
  const key = await argon2InWebAssembly('argon2id', bytes, bytes, { passes: 1, memoryKiB: 8, lanes: 1 }, 16);
  console.log(new TextDecoder().decode(unpacked), again.every((byte) => byte === 65), key.length);
`;

// Bundlers and vitest see more names of a CommonJS module than Node itself does.
test('libraries that are loaded later are found by Node alone', () => {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const printed = execFileSync(process.execPath, ['--input-type=module', '-e', SCRIPT], {
    cwd: root,
    encoding: 'utf8',
  });
  expect(printed).toBe('spindle true 16\n');
});

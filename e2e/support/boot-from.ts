import { createHash } from 'node:crypto';
import { pseudoRandomBytes } from '../../scripts/guest/grub.ts';
import { expect, requireGuest } from './fixtures.ts';
import type { Bootable } from './bootable.ts';
import type { SpindlePage, Terminal } from './spindle-page.ts';

const PROMPT = 'grub> ';
const HASH = createHash('sha256')
  .update(pseudoRandomBytes(2 ** 20))
  .digest('hex');

/**
 * Makes an image of a format, opens it on the page and boots it, until GRUB has read a mebibyte from it.
 *
 * @param folder for the image
 */
export async function bootFrom(spindle: SpindlePage, bootable: Bootable, folder: string): Promise<Terminal> {
  const { path, ready } = await requireGuest(bootable.guest);
  await spindle.choose(...bootable.make(path, folder));
  if (bootable.passphrase !== undefined) {
    await spindle.page.getByTestId('passphrase').fill(bootable.passphrase);
    await spindle.page.getByTestId('passphrase-open').click();
  }
  await expect(spindle.page.getByTestId('format')).toHaveText(bootable.format);
  await spindle.boot();
  const terminal = spindle.terminal();
  await terminal.until(ready);
  await terminal.until(PROMPT);
  expect(await terminal.command('hashsum --hash sha256 /random.bin', PROMPT)).toContain(HASH);
  return terminal;
}

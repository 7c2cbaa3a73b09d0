/** GRUB boots from a format that we write, and from one that we only read. `formats.slow.spec.ts` has all of them. */
import { bootables } from './support/bootable.ts';
import { bootFrom } from './support/boot-from.ts';
import { test } from './support/fixtures.ts';

// Emulated machines on a busy machine take their time.
test.describe.configure({ timeout: 180_000 });

for (const format of ['vmdk', 'dmg']) {
  test(`GRUB boots from ${format}`, async ({ spindle, folder }) => {
    await spindle.open();
    await bootFrom(
      spindle,
      bootables.find((each) => each.format === format)!,
      folder,
    );
  });
}

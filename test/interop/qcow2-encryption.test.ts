import { it } from 'vitest';
import { bothWays, encryptionChoices } from '../support/encryption-interop.ts';
import { describeWithQemu } from '../support/qemu.ts';

/** One of each kind; the slow tier has all. QEMU measures for a second or two how fast it is before it makes or opens one. */
const QUICK = ['aes, small clusters', 'luks as by default'];

describeWithQemu('encrypted qcow2 images', () => {
  it.each(encryptionChoices().filter(({ name }) => QUICK.includes(name)))('are read by both sides: $name', (choice) =>
    bothWays(choice),
  );
});

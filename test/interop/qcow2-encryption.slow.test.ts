import { it } from 'vitest';
import { bothWays, encryptionChoices } from '../support/encryption-interop.ts';
import { describeWithQemu } from '../support/qemu.ts';

describeWithQemu('encrypted qcow2 images', () => {
  it.each(encryptionChoices())('are read by both sides: $name', (choice) => bothWays(choice));
});

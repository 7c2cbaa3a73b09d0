import type { FormatDriver } from '../driver.ts';
import { cdraw } from './cdraw/driver.ts';
import { dmg } from './dmg/driver.ts';
import { bochs } from './bochs/driver.ts';
import { cloop } from './cloop/driver.ts';
import { luks } from './luks/driver.ts';
import { parallels } from './parallels/driver.ts';
import { qcow } from './qcow/driver.ts';
import { qcow2 } from './qcow2/driver.ts';
import { qed } from './qed/driver.ts';
import { raw } from './raw/driver.ts';
import { vdi } from './vdi/driver.ts';
import { vhdx } from './vhdx/driver.ts';
import { vmdk } from './vmdk/driver.ts';
import { vpc } from './vpc/driver.ts';

/** Every format, in the order in which probing prefers them when two are equally sure. */
export const formatDrivers: readonly FormatDriver[] = [
  qcow2,
  qcow,
  qed,
  parallels,
  vdi,
  vhdx,
  vmdk,
  vpc,
  luks,
  dmg,
  cdraw,
  bochs,
  cloop,
  // Anything can be raw.
  raw,
];

import type { FilterDriver } from '../driver.ts';
import { blkdebug } from './blkdebug/driver.ts';
import { blkverify } from './blkverify/driver.ts';
import { compress } from './compress/driver.ts';
import { copyOnRead } from './copy-on-read/driver.ts';
import { preallocate } from './preallocate/driver.ts';
import { throttle } from './throttle/driver.ts';

export { ThrottleGroup, type ThrottleClock } from './throttle/group.ts';

export const filterDrivers: readonly FilterDriver[] = [
  blkdebug,
  blkverify,
  compress,
  copyOnRead,
  preallocate,
  throttle,
];

/** Files that showed defects when they were fuzzed, as `qcow2-fuzz.ts` prints them. */
import type { Fixture } from './qcow2-fuzz.ts';

export const fixtures: Readonly<Record<string, Fixture>> = {
  // Both images were cut off, and a repair made the file longer over what had been there.
  'a repair grew a file that was cut off': {
    image: 'sectors',
    file: 'eNrt2bEJgEAMBdCgILqEU4gjCJZu4gjubXPoHYJ2NmLxXpHPL9KkzTLNe0TUcdc9epujKbWKF46lNQD4te2cvUMAAAAAAACX/D8YSo4OAgAAAAAAn0noDAR2',
    work: 1,
  },
  'a repair grew a file whose refcount block was outside': {
    image: 'sectors',
    file: 'eNrt0L0NQAAUBOATtR1MI1HawAhGMJpR7KERPwU6Jfm+4l6uuOZ1TbskKXNXPXpxnP6sdV7YtkMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAODHxksCAAAAAAAAAP827Tl7BAB8yQr3ogV+',
    work: 1,
  },
  // The L1 table ends behind the end of the file: it was not counted, and new refcount blocks went where it begins.
  'a repair wrote over an L1 table that was cut off': {
    image: 'slices',
    file: 'eNrtybEJgEAAA8CIlhaCiziFINi4iWO4grMKIsI33/0Ad0UgybFuT5I+tbFq81X+pQzTH13aDEnOAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAzd57/wAeOAUh',
    work: 2029639891,
  },
};

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
  // An entry was said to have 4 GiB of extra data, and the whole of it was taken for a part of the image.
  'a snapshot table that was to be replaced stood in the way of a repair': {
    image: 'snapshots',
    file: 'eNrt0KsNgFAUA9DyMSzBOCRINmF/Ei5BIDAPiTlHNBVV3Zb1SDLkbUpTf0f3lGRujcckewAAAAAAAAD4XVWdXgAAAAAAAAAAAAAAAACAbxcHSAZ6',
    work: 447936549,
  },
  // The entry that made the table too big was dropped, and what it referred to was counted all the same.
  'a snapshot that was dropped was counted': {
    image: 'zstd',
    file: 'eNrtzT0OQGAQBND5/DRO4EQSpd4hHMG9NSIqBRqd94pJNruZnYZxS1Lnqsuj5oiSpDrn+e14CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAD8S0lJe7Prv3iwftQDAAAAf7ED9eoDdw==',
    work: 566666405,
  },
  // The snapshot table could not be written anew, and its entries were counted as mended each time.
  'what could not be mended was said to be': {
    image: 'snapshots',
    file: 'eNrt2DEOggAQBMAFwcQfUPkcEkqID/EJvtmWxkQIQQtrgZniLnvllte33ZjklE+Xr1xO67yOxXLONT9USe4B4C893rNRBAAAAMDBTH+hYd43hQDsT5kitRoAAAAAAAAAAAAAAABgO54vys4Fvw==',
    work: 2663522860,
  },
  // The header was taken for the L1 table of a snapshot, and each repair changed the header.
  'a snapshot whose L1 table lay in the header was counted': {
    image: 'snapshots2',
    file: 'eNrtzKsNgEAUBMB956ACKiJBQv+dYEgwBMGRIFAzdj/rvOxJWu6GdJ31unZbAAAAAAAAAAAAAAAAAAAAAAAAAAB41VIZH7Lpw111/gAAAPjZAfD9AnE=',
    work: 675965086,
  },
};

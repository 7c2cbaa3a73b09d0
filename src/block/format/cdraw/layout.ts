/**
 * Sectors of a CD as they are on the disc, 2352 bytes each: synchronisation, address and mode, data, and codes that find and mend
 * errors.
 *
 * Source: ECMA-130, "Data Interchange on Read-only 120 mm Optical Data Disks", section 14 (modes 0 to 2); ECMA-168 and the Philips
 * "System Description CD-ROM XA" for the two forms of mode 2.
 */

export const RAW_SECTOR = 2352;
/** What a CD-ROM drive gives to a computer. */
export const DATA_SECTOR = 2048;

/** A sector of data begins with it. */
export const SYNC = [0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0] as const;
/** Minute, second and frame in decimal digits of four bits each, then the mode. */
export const ADDRESS = 12;
export const MODE = 15;
export const MODE1_DATA = 16;
/** Of mode 2: file, channel, flags, coding; twice. */
export const SUBHEADER_FLAGS = 18;
export const SUBHEADER_SECOND_FLAGS = 22;
/** Bit of the flags: the sector is of form 2, with 2324 bytes of sound or pictures. */
export const FORM2 = 0x20;
export const MODE2_DATA = 24;

/** Sectors that one read takes from the file at once, so that what is between their data is not read one by one. */
export const SECTORS_AT_ONCE = 64;

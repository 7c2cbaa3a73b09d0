/**
 * `dmg`: Apple's disk images, read-only: chunks that are stored as they are, left out, or compressed with zlib (UDZO), bzip2
 * (UDBZ), LZFSE (ULFO), LZMA (ULMO) or ADC (UDCO), with their tables in a property list or a resource fork. A check, which QEMU has
 * not, compares the checksums.
 *
 * Source: see layout.ts.
 */
import { settle, type Co } from '../../co.ts';
import { NO_CAPABILITIES, type FormatDriver, type FormatImage } from '../../driver.ts';
import { DmgImage } from './image.ts';
import { TRAILER_LENGTH } from './layout.ts';
import { readTables } from './tables.ts';
import { findTrailer, readTrailer } from './trailer.ts';

export const dmg: FormatDriver<Record<string, never>, Record<string, never>> = {
  kind: 'format',
  name: 'dmg',
  capabilities: { ...NO_CAPABILITIES, check: true },
  openOptions: {},
  createOptions: {},

  /** QEMU goes by the name alone. Without a trailer such a file is a plain disk. */
  probe({ tail, filename }) {
    const at = findTrailer(tail);
    if (at < 0) return 0;
    if (/\.dmg$/i.test(filename)) return 60;
    return new DataView(tail.buffer, tail.byteOffset + at).getUint32(8) === TRAILER_LENGTH ? 50 : 2;
  },

  *open({ file, compression }): Co<FormatImage> {
    const trailer = yield* readTrailer(file);
    const tables = yield* readTables(file, trailer);
    return new DmgImage(file, trailer, tables, yield* settle(compression.load('deflate')));
  },
};

/** How many hostile images the slow tier makes; docs/FORMATS.md says it too. */

/** Of each format, shared out among its rows in `fuzzed-formats.ts`. */
export const CASES_PER_FORMAT = 20_000;
/** Of qcow2. */
export const QCOW2_CASES = 100_000;
/** Files, and so cores, that share them. */
export const PARTS = 2;

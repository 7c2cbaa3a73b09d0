/** Cache modes, `-t` and `-T`. QEMU: bdrv_parse_cache_mode. */

export interface CacheMode {
  /** Flushes are left out. */
  readonly noFlush: boolean;
  /** Every write is flushed. */
  readonly writeThrough: boolean;
}

const MODES: Readonly<Record<string, CacheMode>> = {
  none: { noFlush: false, writeThrough: false },
  off: { noFlush: false, writeThrough: false },
  directsync: { noFlush: false, writeThrough: true },
  writeback: { noFlush: false, writeThrough: false },
  unsafe: { noFlush: true, writeThrough: false },
  writethrough: { noFlush: false, writeThrough: true },
};

/** @returns undefined for a name that is no mode */
export function cacheMode(name: string): CacheMode | undefined {
  return Object.hasOwn(MODES, name) ? MODES[name] : undefined;
}

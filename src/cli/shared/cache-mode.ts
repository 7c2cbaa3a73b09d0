/** Cache modes, `-t` and `-T`. QEMU: bdrv_parse_cache_mode. */

export interface CacheMode {
  /** Flushes are left out. */
  readonly noFlush: boolean;
  /** Every write is on stable storage before it is answered. */
  readonly writeThrough: boolean;
  /** The system's cache was to be passed by. */
  readonly direct: boolean;
}

const MODES: Readonly<Record<string, CacheMode>> = {
  none: { noFlush: false, writeThrough: false, direct: true },
  off: { noFlush: false, writeThrough: false, direct: true },
  directsync: { noFlush: false, writeThrough: true, direct: true },
  writeback: { noFlush: false, writeThrough: false, direct: false },
  unsafe: { noFlush: true, writeThrough: false, direct: false },
  writethrough: { noFlush: false, writeThrough: true, direct: false },
};

/** What a mode means for a node and all below it, as the option `cache` of a node. */
export function cacheOptions({ noFlush, direct }: CacheMode): Readonly<Record<string, boolean>> {
  return { ...(noFlush && { 'no-flush': true }), ...(direct && { direct: true }) };
}

/** @returns undefined for a name that is no mode */
export function cacheMode(name: string): CacheMode | undefined {
  return Object.hasOwn(MODES, name) ? MODES[name] : undefined;
}

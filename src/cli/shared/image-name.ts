/** The name that an image has in what is printed: its file's where that says which disk it is, else one that holds its options. */
import type { BlockdevOptions } from '../../node/index.ts';

/** Options that change what a disk holds, or whether it can be read. QEMU: strong_runtime_opts. */
const TELLING: Readonly<Partial<Record<string, readonly string[]>>> = {
  raw: ['offset', 'size'],
  luks: ['key-secret'],
  qcow: ['encrypt.key-secret'],
  qcow2: ['encrypt.key-secret'],
  'null-co': ['size', 'read-zeroes'],
  throttle: ['throttle-group'],
  'copy-on-read': ['bottom'],
};

/** Drivers whose names a format above them takes over. */
const NAMES_PASS_ON: ReadonlySet<unknown> = new Set([
  'file',
  'http',
  'https',
  'null-co',
  'blkdebug',
  'blkverify',
  undefined,
]);

/** In the order in which QEMU prints them. */
const ORDER: readonly string[] = [
  ...['opt-write-zero', 'set-state.0.event', 'max-write-zero', 'test', 'encrypt.key-secret', 'read-zeroes'],
  ...['throttle-group', 'offset', 'image', 'max-transfer', 'driver', 'config', 'set-state.0.new_state', 'size'],
  ...[
    'inject-error.0.errno',
    'inject-error.0.event',
    'opt-discard',
    'max-discard',
    'align',
    'file',
    'key-secret',
    'raw',
  ],
  'filename',
];

interface Name {
  /** A name without options. */
  readonly plain: string | undefined;
  /** What stands behind `json:`, where that is known. */
  readonly options: Readonly<Record<string, unknown>> | undefined;
}

/**
 * Names an image by the options that it was opened with. Values are printed as they were given. QEMU: bdrv_refresh_filename.
 *
 * @param isFilter whether a driver is a filter
 * @returns undefined where the options do not say it
 */
export function nameOfOptions(options: BlockdevOptions, isFilter: (driver: string) => boolean): string | undefined {
  const { plain, options: all } = nameOf(options, isFilter);
  return plain ?? (all === undefined ? undefined : `json:${oneLine(all)}`);
}

function nameOf(given: BlockdevOptions, isFilter: (driver: string) => boolean): Name {
  const { driver, filename } = given;
  const child = (key: string): Name => {
    const value = given[key];
    return typeof value === 'object' && value !== null
      ? nameOf(value as BlockdevOptions, isFilter)
      : { plain: undefined, options: undefined };
  };
  switch (driver) {
    case undefined:
      return typeof filename === 'string' ? { plain: filename, options: { driver: 'file', filename } } : child('file');
    case 'file':
    case 'http':
    case 'https':
      return typeof filename === 'string'
        ? { plain: filename, options: { driver, filename } }
        : { plain: undefined, options: undefined };
    case 'blkdebug':
      return debugName(given, child('image'));
    case 'blkverify':
      return verifyName(child('raw'), child('test'));
  }
  const telling = (TELLING[driver] ?? []).flatMap((name) => {
    const value = flat(given)[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  if (driver === 'null-co') {
    return {
      plain: telling.length === 0 ? 'null-co://' : undefined,
      options: { driver, ...Object.fromEntries(telling) },
    };
  }
  const file = child('file');
  const passesOn = NAMES_PASS_ON.has((given['file'] as BlockdevOptions | undefined)?.driver) && !isFilter(driver);
  return {
    plain: passesOn && telling.length === 0 ? file.plain : undefined,
    options: file.options && { driver, ...Object.fromEntries(telling), file: file.options },
  };
}

/** `blkdebug:RULES:IMAGE`, if rules from a file are all that is set. */
function debugName(given: BlockdevOptions, image: Name): Name {
  const { image: _, driver, ...others } = given;
  const isPlain = Object.keys(others).every((name) => name === 'config') && image.plain !== undefined;
  return {
    plain: isPlain ? `blkdebug:${String(others['config'] ?? '')}:${image.plain}` : undefined,
    options: image.options && { driver, ...flat(others), image: image.options },
  };
}

function verifyName(raw: Name, test: Name): Name {
  return {
    plain: raw.plain === undefined || test.plain === undefined ? undefined : `blkverify:${raw.plain}:${test.plain}`,
    options: raw.options && test.options && { driver: 'blkverify', raw: raw.options, test: test.options },
  };
}

/** Options inside options under names with dots: `encrypt.key-secret`. */
function flat(options: object, prefix = ''): Record<string, unknown> {
  const entries = Object.entries(options).flatMap(([name, value]: [string, unknown]) =>
    typeof value === 'object' && value !== null
      ? Object.entries(flat(value, `${prefix}${name}.`))
      : [[prefix + name, value] as const],
  );
  return Object.fromEntries(entries);
}

function oneLine(value: Readonly<Record<string, unknown>>): string {
  const at = (name: string): number => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  const members = Object.entries(value)
    .toSorted(([a], [b]) => at(a) - at(b))
    .map(([name, member]) => {
      const isObject = typeof member === 'object' && member !== null;
      const text = isObject ? oneLine(member as Readonly<Record<string, unknown>>) : JSON.stringify(member);
      return `${JSON.stringify(name)}: ${text}`;
    });
  return `{${members.join(', ')}}`;
}

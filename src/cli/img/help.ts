/** What `--help` and `--version` print. The options are qemu-img's; the words are this project's. */
import type { DriverSet } from '../../node/index.ts';
import { version } from '../shared/version.ts';

export function versionText(): string {
  return `spindle-img version ${version}\nMIT licensed; commands and options are those of qemu-img 7.2\n`;
}

const OBJECT = '[--object OBJECT] [--image-opts]';

const USAGE: readonly (readonly [command: string, options: string])[] = [
  ['amend', `${OBJECT} [-p] [-q] [-f FMT] [-t CACHE] [--force] -o OPTIONS FILE`],
  [
    'bench',
    `${OBJECT} [-c COUNT] [-d DEPTH] [-f FMT] [--flush-interval=N] [-i AIO] [-n] [--no-drain] [-o OFFSET] [--pattern=BYTE] ` +
      '[-q] [-s BUFFER_SIZE] [-S STEP_SIZE] [-t CACHE] [-w] [-U] FILE',
  ],
  [
    'bitmap',
    `${OBJECT} (--merge SOURCE | --add | --remove | --clear | --enable | --disable)... [-b SOURCE_FILE [-F SOURCE_FMT]] ` +
      '[-g GRANULARITY] [-f FMT] FILE BITMAP',
  ],
  ['check', `${OBJECT} [-q] [-f FMT] [--output=human|json] [-r leaks|all] [-T CACHE] [-U] FILE`],
  ['commit', `${OBJECT} [-q] [-f FMT] [-t CACHE] [-b BASE] [-r RATE] [-d] [-p] FILE`],
  ['compare', `${OBJECT} [-f FMT] [-F FMT] [-T CACHE] [-p] [-q] [-s] [-U] FILE1 FILE2`],
  [
    'convert',
    `${OBJECT} [--target-image-opts] [--target-is-zero] [--bitmaps [--skip-broken-bitmaps]] [-U] [-C] [-c] [-p] [-q] [-n] ` +
      '[-f FMT] [-t CACHE] [-T CACHE] [-O FMT] [-B BACKING [-F BACKING_FMT]] [-o OPTIONS] [-l SNAPSHOT] [-S SPARSE_SIZE] ' +
      '[-r RATE] [-m PARALLEL] [-W] [--salvage] FILE [FILE ...] TARGET',
  ],
  ['create', '[--object OBJECT] [-q] [-f FMT] [-b BACKING [-F BACKING_FMT]] [-u] [-o OPTIONS] FILE [SIZE]'],
  ['dd', '[--object OBJECT] [--image-opts] [-U] [-f FMT] [-O FMT] [bs=SIZE] [count=N] [skip=N] if=FILE of=FILE'],
  ['info', `${OBJECT} [-f FMT] [--output=human|json] [--backing-chain] [-U] FILE`],
  ['map', `${OBJECT} [-f FMT] [--start-offset=OFFSET] [--max-length=SIZE] [--output=human|json] [-U] FILE`],
  ['measure', `${OBJECT} [--output=human|json] [-O FMT] [-o OPTIONS] [-U] [--size SIZE | [-f FMT] [-l SNAPSHOT] FILE]`],
  ['rebase', `${OBJECT} [-U] [-q] [-f FMT] [-t CACHE] [-T CACHE] [-p] [-u] -b BACKING [-F BACKING_FMT] FILE`],
  ['resize', `${OBJECT} [-f FMT] [--preallocation=MODE] [-q] [--shrink] FILE [+|-]SIZE`],
  ['snapshot', `${OBJECT} [-U] [-q] [-l | -a SNAPSHOT | -c NAME | -d SNAPSHOT] FILE`],
];

const WORDS: readonly (readonly [name: string, meaning: string])[] = [
  ['FILE', 'a path, http(s)://…, json:{…}, null-co://, or with --image-opts driver=…,file.filename=…'],
  ['FMT', 'format of an image; without it, it is found out'],
  ['SIZE', 'bytes, or with a suffix of k, M, G, T, P or E (powers of 1024)'],
  ['OPTIONS', 'name=value,…; `-o help` lists those of the format'],
  ['OBJECT', 'secret,id=NAME,data=TEXT or secret,id=NAME,file=PATH: the passphrase of an encrypted image'],
  ['CACHE', 'none, writeback, writethrough, directsync or unsafe (no flushes: the default of convert)'],
  ['SNAPSHOT', 'an id or a name, or snapshot.id=ID,snapshot.name=NAME'],
];

const SWITCHES: readonly (readonly [name: string, meaning: string])[] = [
  ['-h', 'this text, before or behind a command'],
  ['-p', 'show progress'],
  ['-q', 'say nothing but errors'],
  ['-U', 'look at an image that a running machine writes to'],
  ['-u', 'of rebase: change the name alone; of create: do not look for the backing file'],
  ['-n', 'of convert: write into a target that is there'],
  ['-c', 'of convert: compress'],
  ['-S', 'of convert: so many zeroes in a row are left out (default 4k); 0 writes everything'],
  ['-m, -W', 'of convert: how many pieces at once, and whether in any order'],
];

export function helpText(drivers: DriverSet): string {
  const table = (rows: readonly (readonly [string, string])[]) =>
    rows.map(([name, meaning]) => `  ${name.padEnd(10)}${meaning}`);
  return [
    'usage: spindle-img [--trace PATTERN] COMMAND [OPTIONS]',
    'Disk images: make, inspect, convert, check, repair, compare and change them.',
    '',
    'Commands:',
    ...USAGE.map(([command, options]) => `  ${command} ${options}`),
    '',
    'What the words in capitals stand for:',
    ...table(WORDS),
    '',
    'Options:',
    ...table(SWITCHES),
    '',
    `Supported formats: ${namesOf(drivers).join(' ')}`,
    '',
  ].join('\n');
}

function namesOf(drivers: DriverSet): string[] {
  return [...drivers.formats, ...drivers.protocols, ...drivers.filters].map(({ name }) => name).toSorted();
}

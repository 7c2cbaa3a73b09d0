/** What `--help` and `--version` print. The options are qemu-img's; the words are this project's. */
import type { DriverSet } from '../../node/index.ts';
import { version } from '../shared/version.ts';

export function versionText(): string {
  return `spindle-img version ${version}\nMIT licensed; commands and options are those of qemu-img 7.2\n`;
}

const USAGE: readonly (readonly [command: string, options: string])[] = [
  ['create', '[--object OBJECT] [-q] [-f FMT] [-b BACKING [-F BACKING_FMT]] [-u] [-o OPTIONS] FILE [SIZE]'],
  ['info', '[--object OBJECT] [--image-opts] [-f FMT] [--output=human|json] [--backing-chain] [-U] FILE'],
];

const PARAMETERS: readonly (readonly [name: string, meaning: string])[] = [
  ['FILE', 'a path, http(s)://…, json:{…}, null-co://, or with --image-opts driver=…,file.filename=…'],
  ['FMT', 'format of the image; without it, it is found out'],
  ['SIZE', 'bytes, or with a suffix of k, M, G, T, P or E (powers of 1024)'],
  ['OPTIONS', 'name=value,…; `-o help` lists those of the format'],
  ['OBJECT', 'secret,id=NAME,data=TEXT or secret,id=NAME,file=PATH: the passphrase of an encrypted image'],
  ['CACHE', 'none, writeback, writethrough, directsync or unsafe: taken as it is in qemu-img'],
  ['SNAPSHOT', 'snapshot.id=ID,snapshot.name=NAME, or an id or a name'],
];

export function helpText(drivers: DriverSet): string {
  const lines = [
    'usage: spindle-img [--trace PATTERN] COMMAND [OPTIONS]',
    'Disk images: make, inspect, convert, check, repair, compare and change them.',
    '',
    'Commands:',
    ...USAGE.map(([command, options]) => `  ${command} ${options}`),
    '',
    'What the words in capitals stand for:',
    ...PARAMETERS.map(([name, meaning]) => `  ${name.padEnd(10)}${meaning}`),
    '',
    '  -h, --help      this text; -V, --version: the version',
    '  -p              show progress; -q: say nothing but errors; -U: share the image with a writer',
    '',
    `Supported formats: ${namesOf(drivers).join(' ')}`,
    '',
  ];
  return lines.join('\n');
}

function namesOf(drivers: DriverSet): string[] {
  return [...drivers.formats, ...drivers.protocols, ...drivers.filters].map(({ name }) => name).toSorted();
}

/**
 * The descriptor: a text, in a file of its own or inside a sparse extent, that says of which extents the disk is made.
 *
 * Source: VMware, "Virtual Disk Format 5.0", "The Descriptor File".
 */
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { MAX_EXTENTS } from './layout.ts';

export type ExtentAccess = 'RW' | 'RDONLY' | 'NOACCESS';
export type ExtentType = 'FLAT' | 'SPARSE' | 'ZERO' | 'VMFS' | 'VMFSSPARSE' | 'SESPARSE';

const ACCESS = ['RW', 'RDONLY', 'NOACCESS'] as const satisfies readonly ExtentAccess[];
const TYPES = ['FLAT', 'SPARSE', 'ZERO', 'VMFS', 'VMFSSPARSE', 'SESPARSE'] as const satisfies readonly ExtentType[];

export interface ExtentLine {
  readonly access: ExtentAccess;
  /** Bytes. */
  readonly length: number;
  readonly type: ExtentType;
  /** Empty for zeroes. */
  readonly filename: string;
  /** Where a flat extent begins in its file, bytes. */
  readonly offset: number;
}

export interface Descriptor {
  readonly text: string;
  readonly cid: number;
  readonly parentCid: number;
  readonly createType: string;
  readonly parentHint: string | undefined;
  /** Lines with extents, as they are: only who needs them looks at what they say. */
  readonly extentLines: readonly { readonly text: string; readonly number: number }[];
}

/** What a line with an extent looks like; the words are looked at one by one. */
const EXTENT_LINE = /^([A-Z]+)[ \t]+(\d{1,19})[ \t]+([A-Za-z]+)(?:[ \t]+"([^"]{1,1023})"(?:[ \t]+(\d{1,19}))?)?/;
const ACCESS_WORD = /^(RW|RDONLY|NOACCESS)[ \t]/;
const KEY_LINE = /^([A-Za-z][\w.]{0,63})[ \t]*=[ \t]*(?:"([^"]*)"|(.*?))[ \t]*$/;

/**
 * Reads a descriptor. Lines that mean nothing to a reader are passed over.
 *
 * @param bytes up to the end of the text, or with zeroes behind it; no more than `MAX_DESCRIPTOR_BYTES`
 * @throws BlockError `corrupt` naming the key that is wrong, `unsupported` for a text that is empty or has too many extents
 */
export function parseDescriptor(bytes: Uint8Array): Descriptor {
  const text = decodeText(bytes);
  if (text.trim() === '') throw withoutDescriptor();
  const keys = new Map<string, string>();
  const extentLines: { text: string; number: number }[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (ACCESS_WORD.test(line)) {
      if (extentLines.length === MAX_EXTENTS) {
        throw new BlockError('unsupported', `The descriptor has more than ${MAX_EXTENTS} extents`);
      }
      extentLines.push({ text: line, number: index + 1 });
      continue;
    }
    const match = KEY_LINE.exec(line);
    // As QEMU does, who finds a key twice takes the first.
    if (match !== null && !keys.has(match[1]!)) keys.set(match[1]!, match[2] ?? match[3]!);
  }
  const hint = keys.get('parentFileNameHint');
  return {
    text,
    cid: parseCid('CID', keys.get('CID')),
    parentCid: parseCid('parentCID', keys.get('parentCID')),
    createType: keys.get('createType') ?? '',
    parentHint: hint === undefined || hint === '' ? undefined : hint,
    extentLines,
  };
}

/** A sparse extent alone is no disk. */
export function withoutDescriptor(): BlockError {
  const message = 'There is no descriptor: this is one extent of an image. Open the file that has the descriptor';
  return new BlockError('unsupported', message);
}

/**
 * What the lines with extents say. Extents without sectors are left out.
 *
 * @throws BlockError `corrupt` naming the line that is wrong
 */
export function extentsOf({ extentLines }: Descriptor): ExtentLine[] {
  return extentLines.map(({ text, number }) => parseExtent(text, number)).filter(({ length }) => length > 0);
}

function decodeText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function parseCid(key: string, value: string | undefined): number {
  if (value !== undefined && /^[0-9a-f]{1,8}$/i.test(value)) return Number.parseInt(value, 16);
  const found = value === undefined ? 'none' : `'${value.slice(0, 40)}'`;
  throw new BlockError('corrupt', `The descriptor must have a ${key} of up to 8 hexadecimal digits, and has ${found}`);
}

function parseExtent(line: string, number: number): ExtentLine {
  const wrong = (why: string): BlockError =>
    new BlockError('corrupt', `Invalid extent line ${number} of the descriptor, '${line.slice(0, 100)}': ${why}`);
  const match = EXTENT_LINE.exec(line);
  if (match === null) throw wrong('it must have an access, a number of sectors, a type and a name in quotes');
  const [, access, sectors, type, filename, offset] = match;
  if (!isOneOf(ACCESS, access!)) throw wrong(`'${access}' is no access`);
  if (!isOneOf(TYPES, type!)) throw wrong(`'${type}' is no type of extent that is known`);
  const length = Number(sectors) * SECTOR_SIZE;
  if (filename === undefined && type !== 'ZERO') throw wrong('the name of its file is missing');
  if (filename !== undefined && /\p{Cc}/u.test(filename)) throw wrong('there are control characters in the name');
  if (type === 'FLAT' && offset === undefined) throw wrong('a flat extent needs the sector at which it begins');
  const start = Number(offset ?? 0) * SECTOR_SIZE;
  if (!Number.isSafeInteger(start + length)) throw wrong('it reaches beyond 2^53 bytes');
  return { access, length, type, filename: filename ?? '', offset: start };
}

function isOneOf<Word extends string>(words: readonly Word[], word: string): word is Word {
  return (words as readonly string[]).includes(word);
}

/** The text with another CID: always 8 digits, so that nothing behind it moves when it changes again. */
export function withCid(text: string, cid: number): string {
  return text.replace(/^([ \t]*CID[ \t]*=[ \t]*)[0-9a-f]{1,8}/im, (_, key: string) => `${key}${formatCid(cid)}`);
}

/** Whether a text begins as a descriptor does: comments and empty lines, then the version. As QEMU probes it. */
export function looksLikeDescriptor(head: Uint8Array): boolean {
  const text = new TextDecoder('latin1').decode(head);
  return /^(?:#[^\n]*\n| *\r?\n)*version=[123]\r?\n/.test(text);
}

export interface NewDescriptor {
  readonly cid: number;
  readonly parentCid: number;
  readonly createType: string;
  readonly parentHint: string | undefined;
  readonly extents: readonly ExtentLine[];
  readonly hwVersion: string;
  readonly toolsVersion: string;
  readonly adapterType: string;
  /** Bytes of the disk. */
  readonly size: number;
}

/** The text of a new descriptor, with the lines that QEMU writes. */
export function encodeDescriptor(described: NewDescriptor): string {
  const { size, adapterType } = described;
  const heads = adapterType === 'ide' ? 16 : 255;
  const hint = described.parentHint === undefined ? [] : [`parentFileNameHint="${described.parentHint}"`];
  return [
    '# Disk DescriptorFile',
    'version=1',
    `CID=${formatCid(described.cid)}`,
    `parentCID=${formatCid(described.parentCid)}`,
    `createType="${described.createType}"`,
    ...hint,
    '',
    '# Extent description',
    ...described.extents.map(formatExtent),
    '',
    '# The Disk Data Base',
    '#DDB',
    '',
    `ddb.virtualHWVersion = "${described.hwVersion}"`,
    `ddb.geometry.cylinders = "${Math.floor(size / SECTOR_SIZE / (heads * 63))}"`,
    `ddb.geometry.heads = "${heads}"`,
    'ddb.geometry.sectors = "63"',
    `ddb.adapterType = "${adapterType}"`,
    `ddb.toolsVersion = "${described.toolsVersion}"`,
    '',
  ].join('\n');
}

function formatExtent({ access, length, type, filename, offset }: ExtentLine): string {
  const line = `${access} ${length / SECTOR_SIZE} ${type} "${filename}"`;
  return type === 'FLAT' ? `${line} ${offset / SECTOR_SIZE}` : line;
}

function formatCid(cid: number): string {
  return cid.toString(16).padStart(8, '0');
}

/** A CID for a new version of a disk: never the one that means none. */
export function newCid(): number {
  const [cid] = crypto.getRandomValues(new Uint32Array(1));
  return cid === 0xffff_ffff ? 0xffff_fffe : cid!;
}

/** What is known of an image, as rows of words. */
import type { ImageInfo, ImageProbe } from '../../client/index.ts';
import { folderWords, type GivenFolder } from '../images/folder.ts';
import { h } from '../parts/dom.ts';
import { count, sizeExact } from '../parts/text.ts';

export type Fact = readonly [name: string, value: string];

export function factsList(facts: readonly Fact[]): HTMLElement {
  return h(
    'dl',
    { class: 'facts', 'data-testid': 'facts' },
    ...facts.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]),
  );
}

/** Of a folder that is shown as a disk: its format is FAT's matter, and it has no file. */
export function folderFacts(folder: GivenFolder, info: ImageInfo): Fact[] {
  return [
    ['What it is', 'a folder, shown as a FAT disk with long names'],
    ['Holds', `${folderWords(folder)}, ${sizeExact(folder.bytes)}`],
    ['Virtual size', sizeExact(info['virtual-size'])],
    ['What is written', 'goes to a disk of its own; your files are never changed'],
  ];
}

/** @param probe where the format was guessed */
export function factsOf(info: ImageInfo, probe: ImageProbe | undefined): Fact[] {
  const facts: Fact[] = [
    ['Format', `${info.format}${probe === undefined ? '' : ` (${whyFormat(probe)})`}`],
    ['Virtual size', sizeExact(info['virtual-size'])],
  ];
  if (info['file-size'] !== undefined) facts.push(['File size', sizeExact(info['file-size'])]);
  if (info['actual-size'] !== undefined && info['actual-size'] !== info['file-size']) {
    facts.push(['On the medium', sizeExact(info['actual-size'])]);
  }
  if (info['cluster-size'] !== undefined) facts.push(['Cluster size', sizeExact(info['cluster-size'])]);
  if (info['backing-filename'] !== undefined) {
    const format = info['backing-filename-format'];
    facts.push(['Backing file', `${info['backing-filename']}${format === undefined ? '' : ` (${format})`}`]);
  }
  if (info.encrypted) facts.push(['Encrypted', 'yes']);
  if (info['dirty-flag']) facts.push(['Not closed cleanly', 'yes: a check is a good idea']);
  if (info.corrupt) facts.push(['Marked corrupt', 'yes: it can be read, not written']);
  // Bitmaps have a table of their own.
  const { bitmaps: _bitmaps, ...specific } = info['format-specific']?.data ?? {};
  return [...facts, ...flatten(specific, '')];
}

/** How sure the guess is, and why. */
export function whyFormat(probe: ImageProbe): string {
  const others = probe.scores.filter(({ format, score }) => format !== probe.format && score > 1);
  const also =
    others.length === 0
      ? ''
      : `; could also be ${others.map(({ format, score }) => `${format} (${score})`).join(', ')}`;
  if (probe.format === 'raw' && probe.score <= 1) return 'no format knows it, so its bytes are taken as they are';
  return `score ${probe.score} of 100: ${probe.score >= 100 ? 'its header says so' : 'it looks like it'}${also}`;
}

function flatten(data: Readonly<Record<string, unknown>>, prefix: string): Fact[] {
  return Object.entries(data).flatMap(([key, value]): Fact[] => {
    const name = `${prefix}${key.replaceAll('-', ' ')}`;
    if (value === null || value === undefined) return [];
    if (typeof value === 'object' && !Array.isArray(value))
      return flatten(value as Readonly<Record<string, unknown>>, `${name}: `);
    if (isListOfObjects(value)) {
      return value.map((each, index): Fact => [capital(`${name} ${index}`), inWords(each)]);
    }
    return [[capital(name), show(value)]];
  });
}

function isListOfObjects(value: unknown): value is readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === 'object' && each !== null);
}

/** One line for one of several things of a kind: key slots, extents. */
function inWords(thing: Readonly<Record<string, unknown>>): string {
  return Object.entries(thing)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([key, value]) => `${key.replaceAll('-', ' ')} ${show(value)}`)
    .join(', ');
}

function show(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value === 'number') return count(value);
  if (Array.isArray(value))
    return value.map((each) => (typeof each === 'object' ? JSON.stringify(each) : String(each))).join(', ');
  return String(value);
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

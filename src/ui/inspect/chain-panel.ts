/** The backing chain as a list, and what to do when a base is missing. */
import type { Chain, Layer, MissingFiles } from '../images/chain.ts';
import { folderWords } from '../images/folder.ts';
import { button, h } from '../parts/dom.ts';
import { baseName, plural, size } from '../parts/text.ts';
import { DEEPEST } from './map-model.ts';

export interface ChainActions {
  /** Files that stand for what is missing: at least one. */
  choose(files: readonly File[]): void;
  /** Opens the addresses that the image names. */
  allowUrl(): void;
  /** Shows what the layers that are there hold. */
  withoutBase(): void;
}

export function chainPanel(chain: Chain): HTMLElement {
  const items = chain.layers.map((layer, depth) =>
    h(
      'li',
      { style: `--layer: var(--map-${Math.min(depth, DEEPEST)})` },
      h('div', {}, h('strong', {}, layer.name), ' ', h('span', { class: 'badge' }, formatWord(layer))),
      h('span', { class: 'muted small' }, layerWords(layer)),
    ),
  );
  if (chain.missing?.kind === 'base') {
    const { files, format } = chain.missing;
    items.push(
      h(
        'li',
        { class: 'missing' },
        h(
          'div',
          {},
          h('strong', {}, files[0]!.reference),
          ' ',
          format !== undefined && h('span', { class: 'badge' }, format),
        ),
        h('span', { class: 'muted small' }, 'Not given yet'),
      ),
    );
  }
  const title = items.length > 1 ? 'Backing chain' : 'One layer';
  const words =
    items.length > 1
      ? 'From the top down: what a layer does not hold, the next one answers.'
      : 'It stands on no other image.';
  return h(
    'section',
    { class: 'panel', 'aria-label': title },
    h('div', {}, h('h2', {}, title), h('p', { class: 'muted small' }, words)),
    h('ol', { class: 'chain', 'data-testid': 'chain' }, ...items),
  );
}

/** More names than these are counted. */
const MAX_NAMED = 8;

/** Asks for files that an image names. */
export function missingNotice(missing: MissingFiles, actions: ChainActions): HTMLElement {
  const { kind, files, namedBy } = missing;
  const names = files.map(({ reference }) => baseName(reference));
  const what = files.length === 1 ? names[0]! : `${files.length} files`;
  const input = h('input', {
    type: 'file',
    multiple: files.length > 1,
    class: 'visually-hidden',
    tabindex: -1,
    'aria-label': `File for ${what}`,
    'data-testid': 'base-input',
    onchange: () => {
      const chosen = [...(input.files ?? [])];
      if (chosen.length > 0) actions.choose(chosen);
    },
  });
  const urls = files.flatMap(({ url }) => url ?? []);
  const canAllow = urls.length === files.length;
  return h(
    'div',
    { class: 'notice warn', role: 'alert', 'data-testid': 'missing-base' },
    h(
      'h2',
      {},
      kind === 'base' ? `${namedBy} needs its base` : `${namedBy} needs ${what === names[0] ? what : `${what} more`}`,
    ),
    h(
      'p',
      {},
      kind === 'base' ? 'It only holds what changed over ' : 'What is on the disk is, in part or all of it, in ',
      ...named(files.map(({ reference }) => reference)),
      `. Nothing that an image names is opened unasked: choose ${files.length === 1 ? 'the file' : 'the files'}${canAllow ? `, or allow the ${urls.length === 1 ? 'address' : 'addresses'}` : ''}.`,
    ),
    canAllow && h('p', { class: 'muted small' }, urls.length === 1 ? 'Address: ' : 'Addresses: ', ...named(urls)),
    h(
      'div',
      { class: 'actions' },
      input,
      button(`Choose ${what}…`, () => input.click(), { kind: 'primary', icon: 'file', 'data-testid': 'choose-base' }),
      canAllow &&
        button(urls.length === 1 ? 'Open the address' : 'Open the addresses', () => actions.allowUrl(), {
          icon: 'link',
          'data-testid': 'allow-url',
        }),
      kind === 'base' &&
        button('Look inside without it', () => actions.withoutBase(), { kind: 'quiet', 'data-testid': 'without-base' }),
    ),
  );
}

function named(names: readonly string[]): (HTMLElement | string)[] {
  const shown = names.slice(0, MAX_NAMED).flatMap((name, index) => [index === 0 ? '' : ', ', h('code', {}, name)]);
  return names.length > MAX_NAMED ? [...shown, ` and ${names.length - MAX_NAMED} more`] : shown;
}

/** A folder has no format of its own: the page shows it as a FAT disk. */
export function formatWord({ source, format }: Layer): string {
  return source.kind === 'folder' ? 'folder' : format;
}

function layerWords({ source, info }: Layer): string {
  const virtual = `${size(info['virtual-size'])} virtual`;
  const parts = Object.keys(source.parts ?? {}).length;
  if (parts > 0) return `${virtual}, in ${plural(parts, 'file')} beside it`;
  if (source.kind === 'folder') return `${virtual}, ${folderWords(source.folder)}`;
  return info['file-size'] === undefined ? virtual : `${virtual}, ${size(info['file-size'])} in its file`;
}

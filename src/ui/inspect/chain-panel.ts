/** The backing chain as a list, and what to do when a base is missing. */
import type { Chain, Layer, MissingBase } from '../images/chain.ts';
import { folderWords } from '../images/folder.ts';
import { button, h } from '../parts/dom.ts';
import { baseName, size } from '../parts/text.ts';
import { DEEPEST } from './map-model.ts';

export interface ChainActions {
  /** A file that stands for the missing base. */
  choose(file: File): void;
  /** Opens the address that the image names. */
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
  if (chain.missing !== undefined) {
    const { reference, format } = chain.missing;
    items.push(
      h(
        'li',
        { class: 'missing' },
        h('div', {}, h('strong', {}, reference), ' ', format !== undefined && h('span', { class: 'badge' }, format)),
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

/** Asks for a base that an image names. */
export function missingNotice(missing: MissingBase, actions: ChainActions): HTMLElement {
  const name = baseName(missing.reference);
  const input = h('input', {
    type: 'file',
    class: 'visually-hidden',
    tabindex: -1,
    'aria-label': `File for ${name}`,
    'data-testid': 'base-input',
    onchange: () => {
      const file = input.files?.[0];
      if (file !== undefined) actions.choose(file);
    },
  });
  return h(
    'div',
    { class: 'notice warn', role: 'alert', 'data-testid': 'missing-base' },
    h('h2', {}, `${missing.namedBy} needs its base`),
    h(
      'p',
      {},
      `It only holds what changed over `,
      h('code', {}, missing.reference),
      `. Nothing that an image names is opened unasked: choose the file${missing.url === undefined ? '' : ', or allow the address'}.`,
    ),
    missing.url !== undefined && h('p', { class: 'muted small' }, 'Address: ', h('code', {}, missing.url)),
    h(
      'div',
      { class: 'actions' },
      input,
      button(`Choose ${name}…`, () => input.click(), { kind: 'primary', icon: 'file', 'data-testid': 'choose-base' }),
      missing.url === undefined
        ? undefined
        : button('Open the address', () => actions.allowUrl(), { icon: 'link', 'data-testid': 'allow-url' }),
      button('Look inside without it', () => actions.withoutBase(), { kind: 'quiet', 'data-testid': 'without-base' }),
    ),
  );
}

/** A folder has no format of its own: the page shows it as a FAT disk. */
export function formatWord({ source, format }: Layer): string {
  return source.kind === 'folder' ? 'folder' : format;
}

function layerWords({ source, info }: Layer): string {
  const virtual = `${size(info['virtual-size'])} virtual`;
  if (source.kind === 'folder') return `${virtual}, ${folderWords(source.folder)}`;
  return info['file-size'] === undefined ? virtual : `${virtual}, ${size(info['file-size'])} in its file`;
}

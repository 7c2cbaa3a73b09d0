/** Making elements without a framework: `h('button', { class: 'primary', onclick: start }, 'Boot')`. */

export type Child = Node | string | undefined | false;

export type Attributes = Readonly<Record<string, string | number | boolean | undefined | ((event: never) => unknown)>>;

/**
 * Makes an element.
 *
 * @param attributes `on…` functions are listeners; `true` sets an empty attribute; `false` and `undefined` set none
 */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value as EventListener);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.filter((child) => child !== undefined && child !== false));
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

/** A drawing of 24 by 24 in the text's colour; it means nothing to a screen reader, so it stands beside words. */
export function icon(path: string): SVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const shape = document.createElementNS(SVG, 'path');
  shape.setAttribute('d', path);
  svg.append(shape);
  return svg;
}

/** Strokes of 24 by 24, drawn for this page. */
export const ICONS = {
  file: 'M6 3h8l4 4v14H6zM14 3v4h4',
  folder: 'M3 6h6l2 2.5h10V19H3z',
  play: 'M8 5l11 7-11 7z',
  pause: 'M8 5v14M16 5v14',
  reset: 'M5 12a7 7 0 1 0 2.5-5.4M7 3v4h4',
  power: 'M12 3v9M7 6.5a7.5 7.5 0 1 0 10 0',
  expand: 'M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5',
  download: 'M12 4v11M7.5 11l4.5 4.5L16.5 11M5 20h14',
  disk: 'M5 4h14v16H5zM8 16h.01M9 8h6',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  search: 'M11 5a6 6 0 1 0 0 12 6 6 0 0 0 0-12M15.5 15.5L20 20',
  link: 'M10 14a4 4 0 0 0 6 .5l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6-.5l-3 3a4 4 0 0 0 6 6l1-1',
  close: 'M6 6l12 12M18 6L6 18',
  back: 'M11 6l-6 6 6 6M5 12h14',
} as const;

export type IconName = keyof typeof ICONS;

/** A button with words and, if wanted, a drawing before them. */
export function button(label: string, onclick: () => unknown, options: ButtonOptions = {}): HTMLButtonElement {
  const { icon: name, kind = 'plain', ...attributes } = options;
  return h(
    'button',
    { type: 'button', class: `button ${kind}`, onclick, ...attributes },
    name === undefined ? undefined : icon(ICONS[name]),
    h('span', {}, label),
  );
}

export interface ButtonOptions {
  readonly icon?: IconName;
  readonly kind?: 'plain' | 'primary' | 'danger' | 'quiet';
  readonly [attribute: string]: string | boolean | undefined;
}

/** Puts new words on a button that `button` made. */
export function relabel(element: HTMLButtonElement, label: string, name?: IconName): void {
  element.replaceChildren(...(name === undefined ? [] : [icon(ICONS[name])]), h('span', {}, label));
}

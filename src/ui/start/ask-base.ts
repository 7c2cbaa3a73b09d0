/** Asks for the files below a stored disk: a page cannot keep a person's files, only their names and sizes. */
import type { StoredDisk, StoredLayer } from '../images/library.ts';
import { knownSource } from '../images/library.ts';
import type { Source } from '../images/source.ts';
import { button, h } from '../parts/dom.ts';
import { size } from '../parts/text.ts';

/** Files that were given since the page was loaded: nobody is asked twice. */
export class GivenFiles {
  readonly #files: File[] = [];

  add(files: readonly File[]): void {
    this.#files.unshift(...files);
  }

  /** The file of that name and size. */
  find(layer: StoredLayer): File | undefined {
    const { from } = layer;
    return from.kind === 'file'
      ? this.#files.find(({ name, size: bytes }) => name === layer.name && bytes === from.size)
      : undefined;
  }
}

/** @returns the sources of a disk's layers in their order, with gaps for files that must be asked for */
export function sourcesOf(disk: StoredDisk, given: GivenFiles): (Source | undefined)[] {
  return disk.layers.map((layer): Source | undefined => {
    const file = given.find(layer);
    return file === undefined ? knownSource(layer) : { kind: 'file', file };
  });
}

/**
 * A page that asks for what is missing.
 *
 * @param onSources called with all sources once they are there
 */
export function askForBases(
  disk: StoredDisk,
  sources: (Source | undefined)[],
  onSources: (sources: readonly Source[]) => void,
  onCancel: () => void,
): HTMLElement {
  const next = (): void => {
    if (sources.every((source) => source !== undefined)) onSources(sources);
  };
  const asked = disk.layers.flatMap((layer, index) => {
    if (sources[index] !== undefined) return [];
    return [
      askOne(layer, (file) => {
        sources[index] = { kind: 'file', file };
        next();
      }),
    ];
  });
  return h(
    'div',
    { class: 'view', 'data-testid': 'ask-base' },
    h('h1', {}, disk.name),
    h(
      'div',
      { class: 'notice warn' },
      h('h2', {}, asked.length === 1 ? 'It stands on a file of yours' : 'It stands on files of yours'),
      h(
        'p',
        {},
        'This page keeps what the machine wrote, not the image below. Choose it again; another file than the one that the disk was made on is refused.',
      ),
      ...asked,
      h('div', { class: 'actions' }, button('Cancel', onCancel, { kind: 'quiet' })),
    ),
  );
}

function askOne(layer: StoredLayer, onFile: (file: File) => void): HTMLElement {
  const done = h('span', { class: 'muted' });
  const input = h('input', {
    type: 'file',
    class: 'visually-hidden',
    tabindex: -1,
    'aria-label': `File for ${layer.name}`,
    'data-testid': 'base-input',
    onchange: () => {
      const file = input.files?.[0];
      if (file === undefined) return;
      done.textContent = `${file.name}, ${size(file.size)}`;
      onFile(file);
    },
  });
  const bytes = layer.from.kind === 'file' ? ` (${size(layer.from.size)})` : '';
  return h(
    'div',
    { class: 'actions' },
    input,
    button(`Choose ${layer.name}…`, () => input.click(), {
      kind: 'primary',
      icon: 'file',
      'data-testid': 'choose-base',
    }),
    h('span', { class: 'muted' }, `${layer.format}${bytes}`),
    done,
  );
}

/** Asks for the files and folders below a stored disk: a page cannot keep a person's files, only their names and sizes. */
import type { StoredDisk, StoredLayer } from '../images/library.ts';
import { isLayer, knownSource } from '../images/library.ts';
import { folderOfChosen } from '../images/folder.ts';
import type { Source } from '../images/source.ts';
import { button, h } from '../parts/dom.ts';
import { folderButton } from '../parts/folder-button.ts';
import { plural, size } from '../parts/text.ts';

/** Files and folders that were given since the page was loaded: nobody is asked twice. */
export class GivenSources {
  readonly #sources: Source[] = [];

  add(...sources: readonly Source[]): void {
    this.#sources.unshift(...sources.filter(({ kind }) => kind === 'file' || kind === 'folder'));
  }

  /** The one of that name and size. */
  find(layer: StoredLayer): Source | undefined {
    return this.#sources.find((source) => isLayer(layer, source));
  }
}

/** @returns the sources of a disk's layers in their order, with gaps for what must be asked for */
export function sourcesOf(disk: StoredDisk, given: GivenSources): (Source | undefined)[] {
  return disk.layers.map((layer) => given.find(layer) ?? knownSource(layer));
}

/** Ways out of being asked. */
export interface AskBaseActions {
  /** Called with all sources once they are there. */
  chosen(sources: readonly Source[]): void;
  cancel(): void;
  /** Why the disk is needed, where that is not plain: a sentence. */
  readonly why?: string | undefined;
  /** Goes on without the disk, where that makes sense. */
  readonly without?: (() => void) | undefined;
}

/** A page that asks for what is missing. */
export function askForBases(
  disk: StoredDisk,
  sources: (Source | undefined)[],
  { chosen, cancel, why, without }: AskBaseActions,
): HTMLElement {
  const missing = disk.layers.flatMap((layer, index) => (sources[index] === undefined ? [{ layer, index }] : []));
  const asked = missing.map(({ layer, index }) =>
    askOne(layer, (source) => {
      sources[index] = source;
      if (sources.every((each) => each !== undefined)) chosen(sources);
    }),
  );
  const isFolder = missing.some(({ layer }) => layer.from.kind === 'folder');
  return h(
    'div',
    { class: 'view', 'data-testid': 'ask-base' },
    h('h1', {}, disk.name),
    why !== undefined && h('p', {}, why),
    h(
      'div',
      { class: 'notice warn' },
      h('h2', {}, titleOf(asked.length, isFolder)),
      h(
        'p',
        {},
        isFolder
          ? 'This page keeps what the machine wrote, not the folder below. Choose it again; if anything in it has changed since the disk was made, the disk does not fit any more, and you can start over with the folder as it is now.'
          : 'This page keeps what the machine wrote, not the image below. Choose it again; another file than the one that the disk was made on is refused.',
      ),
      ...asked,
      h(
        'div',
        { class: 'actions' },
        without === undefined ? undefined : button('Boot without it', without, { 'data-testid': 'boot-without' }),
        button('Cancel', cancel, { kind: 'quiet' }),
      ),
    ),
  );
}

function titleOf(asked: number, isFolder: boolean): string {
  if (isFolder) return 'It stands on a folder of yours';
  return asked === 1 ? 'It stands on a file of yours' : 'It stands on files of yours';
}

function askOne(layer: StoredLayer, onSource: (source: Source) => void): HTMLElement {
  const done = h('span', { class: 'muted' });
  const { from } = layer;
  if (from.kind === 'folder') {
    const chooser = folderButton(
      `Choose ${layer.name}…`,
      'base-folder',
      (files) => {
        const folder = folderOfChosen(files);
        done.textContent = folder.name;
        onSource({ kind: 'folder', folder });
      },
      'primary',
    );
    const words = `${plural(from.fileCount, 'file')}, ${size(from.bytes)}`;
    return h('div', { class: 'actions' }, ...chooser, h('span', { class: 'muted' }, words), done);
  }
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
      onSource({ kind: 'file', file });
    },
  });
  const bytes = from.kind === 'file' ? ` (${size(from.size)})` : '';
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

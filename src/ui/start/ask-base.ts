/** Asks for the files and folders below a stored disk: a page cannot keep a person's files, only their names and sizes. */
import type { StoredDisk, StoredFile, StoredLayer } from '../images/library.ts';
import { isStored, knownSource } from '../images/library.ts';
import { folderOfChosen } from '../images/folder.ts';
import type { Source } from '../images/source.ts';
import { button, h } from '../parts/dom.ts';
import { folderButton } from '../parts/folder-button.ts';
import { plural, size } from '../parts/text.ts';

/** Files and folders that were given since the page was loaded: nobody is asked twice. */
export class GivenSources {
  #sources: readonly Source[] = [];

  add(sources: readonly Source[]): void {
    const all = sources.flatMap((source) => [source, ...Object.values(source.parts ?? {})]);
    this.#sources = [...all.filter(({ kind }) => kind === 'file' || kind === 'folder'), ...this.#sources];
  }

  /** The one of that name and size. */
  find(file: StoredFile): Source | undefined {
    return this.#sources.find((source) => isStored(file, source));
  }
}

/** @returns the sources of a disk's layers in their order, with gaps for what must be asked for */
export function sourcesOf(disk: StoredDisk, given: GivenSources): (Source | undefined)[] {
  return disk.layers.map((layer) => sourceOf(layer, (file) => given.find(file) ?? knownSource(file)));
}

/** @returns undefined while a file that the layer consists of is not found */
function sourceOf(layer: StoredLayer, find: (file: StoredFile) => Source | undefined): Source | undefined {
  const source = find(layer);
  if (source === undefined || layer.parts === undefined) return source;
  const parts: Record<string, Source> = {};
  for (const [option, file] of Object.entries(layer.parts)) {
    const part = find(file);
    if (part === undefined) return undefined;
    parts[option] = part;
  }
  return { ...source, parts };
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
  const needed = [layer, ...Object.values(layer.parts ?? {})].filter((file) => knownSource(file) === undefined);
  const files = new Map<string, File>();
  const find = (file: StoredFile): Source | undefined => {
    // Whether one file is the right one is looked at later, whatever it is called now; several are told apart by their names.
    const found = needed.length === 1 ? [...files.values()].at(-1) : files.get(file.name);
    return knownSource(file) ?? (found && { kind: 'file', file: found });
  };
  const input = h('input', {
    type: 'file',
    multiple: needed.length > 1,
    class: 'visually-hidden',
    tabindex: -1,
    'aria-label': `File for ${layer.name}`,
    'data-testid': 'base-input',
    onchange: () => {
      for (const file of input.files ?? []) files.set(file.name, file);
      input.value = '';
      const missing = needed.filter((file) => find(file) === undefined);
      done.textContent =
        missing.length === 0
          ? [...files.values()].map((file) => `${file.name}, ${size(file.size)}`).join('; ')
          : `Still missing: ${missing.map(({ name }) => name).join(', ')}`;
      const source = sourceOf(layer, find);
      if (source !== undefined) onSource(source);
    },
  });
  const bytes = from.kind === 'file' ? ` (${size(from.size)})` : '';
  const label =
    needed.length > 1 ? `Choose the ${needed.length} files of ${layer.name}…` : `Choose ${needed[0]!.name}…`;
  const chooser = button(label, () => input.click(), { kind: 'primary', icon: 'file', 'data-testid': 'choose-base' });
  return h('div', { class: 'actions' }, input, chooser, h('span', { class: 'muted' }, `${layer.format}${bytes}`), done);
}

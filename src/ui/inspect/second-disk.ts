/** Choosing a second disk for a machine: one that the page keeps, or a folder. */
import { folderOfChosen, folderWords, type GivenFolder } from '../images/folder.ts';
import type { StoredDisk } from '../images/library.ts';
import { h } from '../parts/dom.ts';
import { errorLine } from '../parts/error-view.ts';
import { folderButton } from '../parts/folder-button.ts';

export type SecondDisk =
  | { readonly kind: 'stored'; readonly disk: StoredDisk }
  | { readonly kind: 'folder'; readonly folder: GivenFolder };

const NONE = '';
const FOLDER = 'folder';

export class SecondDiskField {
  readonly element: HTMLElement;
  readonly #disks: readonly StoredDisk[];
  readonly #select: HTMLSelectElement;
  readonly #words = h('p', { class: 'muted small', role: 'status' });
  #folder: GivenFolder | undefined;

  /** @param disks that can be attached. @param chosen ID of the one that is suggested */
  constructor(disks: readonly StoredDisk[], chosen: string | undefined) {
    this.#disks = disks;
    this.#select = h(
      'select',
      { 'data-testid': 'boot-second' },
      h('option', { value: NONE }, 'None'),
      ...disks.map(({ id, name }) => h('option', { value: id, selected: id === chosen }, name)),
    );
    this.element = h(
      'div',
      { class: 'field' },
      h(
        'div',
        { class: 'row bottom' },
        h('label', { class: 'field' }, h('span', {}, 'Second disk'), this.#select),
        ...folderButton('Choose a folder…', 'second', (files) => this.#take(files)),
      ),
      this.#words,
    );
  }

  get chosen(): SecondDisk | undefined {
    const { value } = this.#select;
    if (value === FOLDER) return { kind: 'folder', folder: this.#folder! };
    const disk = this.#disks.find(({ id }) => id === value);
    return disk === undefined ? undefined : { kind: 'stored', disk };
  }

  #take(files: readonly File[]): void {
    try {
      this.#folder = folderOfChosen(files);
    } catch (error) {
      this.#words.textContent = errorLine(error);
      return;
    }
    this.#select.querySelector(`option[value=${FOLDER}]`)?.remove();
    const label = `${this.#folder.name}, a folder with ${folderWords(this.#folder)}`;
    this.#select.append(h('option', { value: FOLDER, selected: true }, label));
    this.#select.value = FOLDER;
    this.#words.textContent = 'The machine sees it as a FAT disk. Your files are only read.';
  }
}

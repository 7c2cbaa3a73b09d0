/** The snapshots in an image: making one, bringing one back, deleting one. What they are made of is up to who owns the disk. */
import type { SnapshotInfo } from '../../client/index.ts';
import { begin } from '../parts/begin.ts';
import { confirmLoss } from '../parts/confirm.ts';
import { button, h } from '../parts/dom.ts';
import { errorView } from '../parts/error-view.ts';
import { size } from '../parts/text.ts';

export interface SnapshotActions {
  list(): Promise<readonly SnapshotInfo[]>;
  /** Missing: they are only shown. */
  readonly change?: {
    save(name: string): Promise<void>;
    restore(snapshot: SnapshotInfo): Promise<void>;
    delete(snapshot: SnapshotInfo): Promise<void>;
  };
}

export interface SnapshotWords {
  /** What a snapshot keeps here, said below the heading. */
  readonly about: string;
  /** What is lost when one is brought back. */
  readonly loss: string;
}

const HEADINGS = ['Name', 'Made', 'Disk', 'Machine'];

export class SnapshotsPanel {
  readonly element: HTMLElement;
  readonly #actions: SnapshotActions;
  readonly #words: SnapshotWords;
  readonly #list = h('div', { class: 'table-scroll', tabindex: 0, role: 'region', 'aria-label': 'List of snapshots' });
  readonly #status = h('p', { class: 'muted small', role: 'status', 'data-testid': 'snapshot-status' });
  readonly #problem = h('div', { 'data-testid': 'snapshot-problem' });
  readonly #name = h('input', { type: 'text', maxlength: 200, autocomplete: 'off', 'data-testid': 'snapshot-name' });
  readonly #save = button('Save snapshot', () => begin(this.#onSave()), {
    icon: 'disk',
    kind: 'primary',
    'data-testid': 'snapshot-save',
  });
  #rowButtons: HTMLButtonElement[] = [];
  #proposed = '';

  constructor(actions: SnapshotActions, words: SnapshotWords) {
    this.#actions = actions;
    this.#words = words;
    this.element = h(
      'section',
      { class: 'panel', 'aria-label': 'Snapshots', 'data-testid': 'snapshots' },
      h('h2', {}, 'Snapshots'),
      h('p', { class: 'muted small' }, words.about),
      actions.change !== undefined &&
        h(
          'div',
          { class: 'actions bottom' },
          h('label', { class: 'field' }, h('span', {}, 'Name'), this.#name),
          this.#save,
        ),
      this.#status,
      this.#problem,
      this.#list,
    );
  }

  /** Reads the list anew. */
  async read(): Promise<void> {
    const snapshots = await this.#actions.list();
    this.#propose(snapshots);
    this.#rowButtons = [];
    if (snapshots.length === 0) {
      this.#list.replaceChildren(h('p', { class: 'muted' }, 'None yet.'));
      return;
    }
    const headings = this.#actions.change === undefined ? HEADINGS : [...HEADINGS, 'Actions'];
    this.#list.replaceChildren(
      h(
        'table',
        {},
        h('thead', {}, h('tr', {}, ...headings.map((heading) => h('th', { scope: 'col' }, heading)))),
        h('tbody', {}, ...snapshots.toReversed().map((snapshot) => this.#row(snapshot))),
      ),
    );
  }

  /** Nothing can be done while the disk is busy with something else. */
  enable(enabled: boolean): void {
    for (const each of [this.#save, ...this.#rowButtons]) each.disabled = !enabled;
    this.#name.disabled = !enabled;
  }

  /** A name that nobody chose is replaced by the next one. */
  #propose(snapshots: readonly SnapshotInfo[]): void {
    const isUntouched = this.#name.value === '' || this.#name.value === this.#proposed;
    const taken = new Set(snapshots.map(({ name }) => name));
    let number = snapshots.length + 1;
    while (taken.has(`Snapshot ${number}`)) number++;
    this.#proposed = `Snapshot ${number}`;
    if (isUntouched) this.#name.value = this.#proposed;
  }

  #row(snapshot: SnapshotInfo): HTMLElement {
    const { name, dateSeconds, diskSize, vmStateSize } = snapshot;
    const cells = [
      name,
      new Date(dateSeconds * 1000).toLocaleString(),
      size(diskSize),
      vmStateSize === 0 ? 'not kept' : size(vmStateSize),
    ];
    return h(
      'tr',
      { 'data-testid': 'snapshot' },
      ...cells.map((cell) => h('td', {}, cell)),
      this.#actions.change !== undefined && h('td', {}, this.#rowActions(snapshot)),
    );
  }

  #rowActions(snapshot: SnapshotInfo): HTMLElement {
    const { name } = snapshot;
    const restore = button('Restore', () => begin(this.#onRestore(snapshot)), {
      icon: 'reset',
      'aria-label': `Restore ${name}`,
    });
    const remove = button('Delete', () => begin(this.#onDelete(snapshot)), {
      icon: 'trash',
      kind: 'quiet',
      'aria-label': `Delete ${name}`,
    });
    this.#rowButtons.push(restore, remove);
    return h('div', { class: 'actions' }, restore, remove);
  }

  #onSave(): Promise<void> {
    const name = this.#name.value.trim() === '' ? this.#proposed : this.#name.value.trim();
    this.#name.value = '';
    return this.#do(`Saving ${name}`, `${name} was saved.`, () => this.#actions.change!.save(name));
  }

  async #onRestore(snapshot: SnapshotInfo): Promise<void> {
    const { name } = snapshot;
    if (!(await confirmLoss(`Restore ${name}?`, this.#words.loss, 'Restore'))) return;
    await this.#do(`Restoring ${name}`, `${name} was restored.`, () => this.#actions.change!.restore(snapshot));
  }

  async #onDelete(snapshot: SnapshotInfo): Promise<void> {
    const { name } = snapshot;
    const consequence =
      'What only this snapshot holds is lost. The disk as it is now stays, and so do the other snapshots.';
    if (!(await confirmLoss(`Delete ${name}?`, consequence, 'Delete'))) return;
    await this.#do(`Deleting ${name}`, `${name} was deleted.`, () => this.#actions.change!.delete(snapshot));
  }

  async #do(what: string, done: string, work: () => Promise<void>): Promise<void> {
    this.enable(false);
    this.#problem.replaceChildren();
    this.#status.textContent = `${what}…`;
    try {
      await work();
      this.#status.textContent = done;
    } catch (error) {
      this.#status.textContent = '';
      this.#problem.replaceChildren(errorView(error, what));
    } finally {
      this.enable(true);
    }
    try {
      await this.read();
    } catch (error) {
      this.#problem.replaceChildren(errorView(error, 'Reading the list of snapshots'));
    }
  }
}

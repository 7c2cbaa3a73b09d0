/** A packed image: what is in it, and unpacking it into a file of this site, which is opened then. */
import type { Archive, Spindle } from '../../client/index.ts';
import { sourceName, type Source } from '../images/source.ts';
import { inWordsOfSpace, refusedName, unpackInto, unpackLimit } from '../images/unpacked.ts';
import { factsList } from '../inspect/facts.ts';
import { begin } from '../parts/begin.ts';
import { button, h } from '../parts/dom.ts';
import { errorView, kindOf } from '../parts/error-view.ts';
import { percent, plural, size, sizeExact } from '../parts/text.ts';

export interface UnpackInput {
  readonly source: Source;
  readonly archive: Archive;
  /** Bytes that this site may store; undefined where the browser does not say. */
  readonly free: number | undefined;
}

export interface UnpackActions {
  back(): void;
  /** Opens the packed file as if it were an image. */
  asItIs(): void;
  /** Opens an unpacked image. */
  open(name: string): void;
  /** The image was unpacked. */
  done(image: Source): void;
  /** Asks whether an image that is there may be replaced. */
  mayReplace(name: string): Promise<boolean>;
}

export class UnpackView {
  readonly element: HTMLElement;
  readonly #spindle: Spindle;
  readonly #input: UnpackInput;
  readonly #actions: UnpackActions;
  readonly #facts = h('div', {});
  readonly #entry = h('select', { 'data-testid': 'unpack-entry' });
  readonly #name = h('input', { type: 'text', required: true, maxlength: 200, 'data-testid': 'unpack-name' });
  readonly #start = h(
    'button',
    { type: 'submit', class: 'button primary', 'data-testid': 'unpack-start' },
    'Unpack and open',
  );
  readonly #cancel = button('Cancel', () => this.#abort?.abort(), { icon: 'close', 'data-testid': 'unpack-cancel' });
  readonly #asItIs: HTMLElement;
  readonly #progress = h('progress', { max: 1, value: 0, 'aria-label': 'Unpacking' });
  readonly #words = h('p', { class: 'small', role: 'status', 'data-testid': 'unpack-status' });
  readonly #problem = h('div', {});
  #abort: AbortController | undefined;

  constructor(spindle: Spindle, input: UnpackInput, actions: UnpackActions) {
    this.#spindle = spindle;
    this.#input = input;
    this.#actions = actions;
    const { archive, source } = input;
    this.#asItIs = button('Open the packed file as it is', () => actions.asItIs(), {
      kind: 'quiet',
      'data-testid': 'as-it-is',
    });
    this.#fillEntries();
    this.#choose();
    this.#busy(false);
    this.element = h(
      'div',
      { class: 'view', 'data-testid': 'unpack' },
      h(
        'div',
        { class: 'panel-head' },
        h(
          'div',
          { class: 'title' },
          h('h1', {}, sourceName(source)),
          h('span', { class: 'badge', 'data-testid': 'archive-kind' }, archive.kind),
        ),
        h('div', { class: 'actions' }, button('Back', actions.back, { icon: 'back', kind: 'quiet' })),
      ),
      h(
        'section',
        { class: 'panel', 'aria-label': 'Packed image' },
        h(
          'div',
          {},
          h('h2', {}, 'A packed image'),
          h(
            'p',
            { class: 'muted' },
            'A disk is read here and there, and a packed file only from its beginning to its end. So it is unpacked first, into the storage that this browser keeps for this page.',
          ),
        ),
        this.#facts,
        this.#form(),
        this.#progress,
        this.#words,
        this.#problem,
      ),
    );
  }

  async close(): Promise<void> {
    this.#abort?.abort();
    await Promise.resolve();
  }

  #form(): HTMLElement {
    const several = this.#input.archive.entries.length > 1;
    return h(
      'form',
      {
        class: 'view',
        onsubmit: (event: Event) => {
          event.preventDefault();
          begin(this.#run(false));
        },
      },
      h(
        'div',
        { class: 'form-grid' },
        several && field(`Which of its ${plural(this.#input.archive.entries.length, 'file')}`, this.#entry),
        field('Name in this browser', this.#name),
      ),
      h('div', { class: 'actions' }, this.#start, this.#cancel, this.#asItIs),
    );
  }

  #fillEntries(): void {
    const { archive } = this.#input;
    const largest = archive.entries.toSorted((a, b) => b.size - a.size)[0];
    this.#entry.append(
      ...archive.entries.map((entry, index) =>
        h('option', { value: index, selected: entry === largest }, `${entry.name} (${size(entry.size)})`),
      ),
    );
    this.#entry.addEventListener('change', () => this.#choose());
  }

  get #chosen(): Archive['entries'][number] | undefined {
    return this.#input.archive.entries[Number(this.#entry.value)];
  }

  /** Bytes that it becomes, where that is known. */
  get #size(): number | undefined {
    return this.#chosen?.size ?? this.#input.archive.size;
  }

  #choose(): void {
    const { archive, free } = this.#input;
    const bytes = this.#size;
    this.#name.value = this.#chosen === undefined ? archive.name : lastPart(this.#chosen.name, archive.name);
    const tooLarge = bytes !== undefined && free !== undefined && bytes > free;
    this.#facts.replaceChildren(
      factsList([
        ['Packed', sizeExact(archive.packedSize)],
        ['Unpacked', bytes === undefined ? 'not known before it is unpacked' : sizeExact(bytes)],
        ...(free === undefined ? [] : [['Free in this browser', `about ${size(free)}`] as const]),
      ]),
    );
    this.#words.textContent = tooLarge
      ? 'It will hardly fit: this browser gives the page less space than that. Unpack it on your computer, and drop the image.'
      : '';
  }

  async #run(replace: boolean): Promise<void> {
    const name = this.#name.value.trim();
    this.#problem.replaceChildren();
    const refused = refusedName(name);
    this.#words.textContent = refused ?? '';
    if (refused !== undefined) return;
    const limit = unpackLimit(this.#size, this.#input.free);
    const abort = new AbortController();
    this.#abort = abort;
    this.#busy(true);
    try {
      const image = await unpackInto(this.#spindle, this.#input.source, {
        name,
        entry: this.#chosen?.name,
        limit,
        replace,
        signal: abort.signal,
        onProgress: (done, total) => this.#show(done, total),
      });
      this.#words.textContent = '';
      this.#actions.done(image);
    } catch (error) {
      this.#failed(inWordsOfSpace(error, name, this.#size), name);
    } finally {
      this.#abort = undefined;
      this.#busy(false);
    }
  }

  #busy(busy: boolean): void {
    this.#progress.hidden = !busy;
    this.#progress.value = 0;
    this.#cancel.hidden = !busy;
    this.#start.hidden = busy;
    this.#asItIs.hidden = busy;
    this.#entry.disabled = busy;
    this.#name.disabled = busy;
    // The button that had the focus is gone.
    if (this.element?.isConnected) (busy ? this.#cancel : this.#start).focus();
  }

  #show(done: number, total: number): void {
    this.#progress.max = Math.max(1, total);
    this.#progress.value = done;
    this.#words.textContent = `${size(done)} of ${size(total)} read (${percent(done, total)})`;
  }

  #failed(error: unknown, name: string): void {
    if (kindOf(error) === 'aborted') {
      this.#words.textContent = `Stopped. Nothing of ${name} was kept.`;
      return;
    }
    this.#words.textContent = '';
    const helps =
      kindOf(error) === 'exists'
        ? [
            button(`Open the ${name} that is there`, () => this.#actions.open(name), {
              'data-testid': 'open-existing',
            }),
            button('Replace it…', () => begin(this.#replace(name)), {
              kind: 'danger',
              'data-testid': 'unpack-replace',
            }),
          ]
        : [];
    this.#problem.replaceChildren(errorView(error, `Unpacking ${sourceName(this.#input.source)}`, helps));
  }

  async #replace(name: string): Promise<void> {
    if (await this.#actions.mayReplace(name)) await this.#run(true);
  }
}

function lastPart(path: string, otherwise: string): string {
  return path.split(/[/\\]/).findLast((part) => part !== '' && part !== '.' && part !== '..') ?? otherwise;
}

function field(label: string, control: HTMLElement): HTMLElement {
  return h('label', { class: 'field' }, h('span', {}, label), control);
}

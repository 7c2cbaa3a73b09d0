/** Disk lights: a lamp for each kind of request, with how many there were and how much they moved. */
import { h } from '../parts/dom.ts';
import { count, size } from '../parts/text.ts';

/** How long a lamp shines for one request. */
const SHINE_MS = 120;
const TEXT_MS = 200;

export type Lamp = 'read' | 'write' | 'flush';

const LABELS: Readonly<Record<Lamp, string>> = { read: 'Reads', write: 'Writes', flush: 'Flushes' };

interface LampState {
  readonly element: HTMLElement;
  readonly words: HTMLElement;
  operations: number;
  bytes: number;
  offTimer: ReturnType<typeof setTimeout> | undefined;
}

export class Lights {
  readonly element: HTMLElement;
  readonly #unflushed = h('span', { class: 'muted', 'data-testid': 'unflushed' });
  readonly #lamps: Readonly<Record<Lamp, LampState>>;
  #scheduled = false;
  #unflushedBytes = 0;

  constructor() {
    this.#lamps = { read: lamp('read'), write: lamp('write'), flush: lamp('flush') };
    const elements = Object.values(this.#lamps).map(({ element }) => element);
    this.element = h(
      'div',
      { class: 'lights', role: 'group', 'aria-label': 'Disk activity' },
      ...elements,
      this.#unflushed,
    );
    this.#write();
  }

  /** A request went by. */
  flash(kind: Lamp, bytes: number): void {
    const state = this.#lamps[kind];
    state.operations++;
    state.bytes += bytes;
    state.element.toggleAttribute('data-on', true);
    clearTimeout(state.offTimer);
    state.offTimer = setTimeout(() => state.element.toggleAttribute('data-on', false), SHINE_MS);
    this.#writeSoon();
  }

  /** @param bytes that were written since the last flush */
  setUnflushed(bytes: number): void {
    this.#unflushedBytes = bytes;
    this.#writeSoon();
  }

  #writeSoon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setTimeout(() => this.#write(), TEXT_MS);
  }

  #write(): void {
    this.#scheduled = false;
    for (const state of Object.values(this.#lamps)) {
      const moved = state.bytes === 0 ? '' : ` · ${size(state.bytes)}`;
      state.words.textContent = `${count(state.operations)}${moved}`;
    }
    const bytes = this.#unflushedBytes;
    this.#unflushed.textContent = bytes === 0 ? 'All flushed' : `${size(bytes)} not flushed yet`;
  }
}

function lamp(kind: Lamp): LampState {
  const words = h('span', { 'data-testid': `count-${kind}` }, '0');
  const element = h(
    'span',
    { class: 'light', style: `--lamp: var(--light-${kind})`, 'data-testid': `light-${kind}` },
    h('span', { class: 'lamp', 'aria-hidden': 'true' }),
    h('span', {}, `${LABELS[kind]} `, words),
  );
  return { element, words, operations: 0, bytes: 0, offTimer: undefined };
}

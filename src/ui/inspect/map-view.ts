/**
 * The allocation map as a picture: a grid of cells from the disk's first byte to its last, each filled from below with what it
 * holds. Pointer and arrow keys ask what is where.
 */
import { h } from '../parts/dom.ts';
import { count, offset as hex, percent, plural, size } from '../parts/text.ts';
import { CLASSES, DATA, DEEPEST, UNALLOCATED, ZERO, type FoundExtent, type MapModel } from './map-model.ts';

const CELL = 11;
const GAP = 2;
const ROWS = 14;
const REDRAW_MS = 100;

/** CSS variables of the classes, drawn from the bottom of a cell upwards in this order. */
const PAINT: readonly { readonly kind: number; readonly variable: string }[] = [
  { kind: DATA, variable: '--map-0' },
  { kind: DATA + 1, variable: '--map-1' },
  { kind: DATA + 2, variable: '--map-2' },
  { kind: DATA + DEEPEST, variable: '--map-3' },
  { kind: ZERO, variable: '--map-zero' },
];

export class MapView {
  readonly element: HTMLElement;
  readonly #model: MapModel;
  readonly #layers: readonly string[];
  readonly #canvas = h('canvas', { class: 'map-canvas', 'data-testid': 'map-canvas' });
  readonly #frame: HTMLElement;
  readonly #caption = h('p', { class: 'map-caption', 'data-testid': 'map-caption' });
  readonly #legend = h('ul', {
    class: 'legend',
    'aria-label': 'Legend of the allocation map',
    'data-testid': 'map-legend',
  });
  readonly #observer: ResizeObserver;
  readonly #scheme = matchMedia('(prefers-color-scheme: dark)');
  #columns = 1;
  #added = { end: -1, cells: 0, sums: new Float64Array(0) };
  #selected = -1;
  #drawnAtMs = 0;

  /** @param layers names of the chain's layers, from the top down */
  constructor(model: MapModel, layers: readonly string[]) {
    this.#model = model;
    this.#layers = layers;
    this.#frame = h(
      'div',
      {
        class: 'map-frame',
        role: 'slider',
        tabindex: 0,
        'aria-label':
          'Allocation map: position on the disk. Arrow keys move, Page Up and Page Down jump to the next change',
        'aria-valuemin': 0,
        'aria-valuemax': Math.max(0, model.size - 1),
        'aria-valuenow': 0,
        'data-testid': 'map',
        onkeydown: (event: KeyboardEvent) => this.#onKey(event),
        onpointermove: (event: PointerEvent) => this.#onPointer(event),
        onpointerleave: () => this.#select(-1),
      },
      this.#canvas,
    );
    this.element = h('div', { class: 'map' }, this.#frame, this.#caption, this.#legend);
    this.#observer = new ResizeObserver(() => this.redraw());
    this.#observer.observe(this.#frame);
    this.#scheme.addEventListener('change', this.redraw);
    this.#describe();
  }

  dispose(): void {
    this.#observer.disconnect();
    this.#scheme.removeEventListener('change', this.redraw);
  }

  /** Draws again while extents still arrive, but not more often than an eye can follow. */
  update(): void {
    if (performance.now() - this.#drawnAtMs > REDRAW_MS) this.redraw();
  }

  readonly redraw = (): void => {
    const width = this.#frame.clientWidth;
    if (width === 0) return;
    this.#columns = Math.max(8, Math.floor((width + GAP) / (CELL + GAP)));
    const ratio = Math.min(3, window.devicePixelRatio);
    const height = ROWS * (CELL + GAP) - GAP;
    this.#canvas.width = Math.round(width * ratio);
    this.#canvas.height = Math.round(height * ratio);
    this.#canvas.style.height = `${height}px`;
    const context = this.#canvas.getContext('2d')!;
    context.scale(ratio, ratio);
    this.#paint(context);
    this.#drawnAtMs = performance.now();
    this.#describe();
  };

  get #cellCount(): number {
    return this.#columns * ROWS;
  }

  #paint(context: CanvasRenderingContext2D): void {
    const style = getComputedStyle(this.#frame);
    const empty = style.getPropertyValue('--map-empty');
    const paint = PAINT.map(({ kind, variable }) => ({ kind, colour: style.getPropertyValue(variable) }));
    const sums = this.#sums();
    const cellBytes = this.#model.size / this.#cellCount;
    for (let cell = 0; cell < this.#cellCount; cell++) {
      const x = (cell % this.#columns) * (CELL + GAP);
      const y = Math.floor(cell / this.#columns) * (CELL + GAP);
      context.fillStyle = empty;
      context.fillRect(x, y, CELL, CELL);
      let bottom = y + CELL;
      for (const { kind, colour } of paint) {
        const bytes = sums[cell * CLASSES + kind]!;
        if (bytes === 0) continue;
        // A sector in a gigabyte still shows: what is there is never drawn as nothing.
        const high = Math.min(Math.max(1.5, (bytes / cellBytes) * CELL), bottom - y);
        context.fillStyle = colour;
        context.fillRect(x, bottom - high, CELL, high);
        bottom -= high;
      }
    }
    this.#paintSelection(context, style.getPropertyValue('--text'));
  }

  /** Adding up a million extents takes a moment: not for every move of the pointer. */
  #sums(): Float64Array {
    const { end } = this.#model;
    if (this.#added.end !== end || this.#added.cells !== this.#cellCount) {
      this.#added = { end, cells: this.#cellCount, sums: this.#model.cells(this.#cellCount) };
    }
    return this.#added.sums;
  }

  #paintSelection(context: CanvasRenderingContext2D, colour: string): void {
    if (this.#selected < 0) return;
    const cell = Math.min(this.#cellCount - 1, Math.floor((this.#selected / this.#model.size) * this.#cellCount));
    context.strokeStyle = colour;
    context.lineWidth = 2;
    const x = (cell % this.#columns) * (CELL + GAP);
    const y = Math.floor(cell / this.#columns) * (CELL + GAP);
    context.strokeRect(x, y, CELL, CELL);
  }

  #onPointer(event: PointerEvent): void {
    const column = Math.floor(event.offsetX / (CELL + GAP));
    const row = Math.floor(event.offsetY / (CELL + GAP));
    if (column < 0 || column >= this.#columns || row < 0 || row >= ROWS) return;
    this.#select(this.#cellStart(row * this.#columns + column));
  }

  #onKey(event: KeyboardEvent): void {
    const cell = this.#selected < 0 ? -1 : Math.floor((this.#selected / this.#model.size) * this.#cellCount + 1e-6);
    const here = this.#model.at(Math.max(0, this.#selected));
    const moves: Readonly<Record<string, () => number>> = {
      ArrowRight: () => this.#cellStart(cell + 1),
      ArrowLeft: () => this.#cellStart(cell - 1),
      ArrowDown: () => this.#cellStart(cell + this.#columns),
      ArrowUp: () => this.#cellStart(cell - this.#columns),
      Home: () => 0,
      End: () => this.#cellStart(this.#cellCount - 1),
      PageDown: () => (here === undefined ? 0 : here.offset + here.length),
      PageUp: () => (here === undefined ? 0 : (this.#model.at(here.offset - 1)?.offset ?? 0)),
      Escape: () => -1,
    };
    const move = moves[event.key];
    if (move === undefined) return;
    event.preventDefault();
    this.#select(Math.min(move(), this.#model.size - 1));
  }

  #cellStart(cell: number): number {
    const inside = Math.max(0, Math.min(cell, this.#cellCount - 1));
    return Math.ceil((inside / this.#cellCount) * this.#model.size);
  }

  #select(offset: number): void {
    if (offset === this.#selected || this.#model.size === 0) return;
    this.#selected = offset;
    this.redraw();
  }

  #describe(): void {
    const summary = this.#summary();
    const found = this.#selected < 0 ? undefined : this.#model.at(this.#selected);
    const text = this.#selected < 0 ? summary : found === undefined ? 'Not read yet' : this.#words(found);
    this.#caption.textContent = text;
    this.#frame.setAttribute('aria-valuenow', String(Math.max(0, this.#selected)));
    this.#frame.setAttribute('aria-valuetext', text);
    this.#legend.replaceChildren(...this.#legendItems());
  }

  #summary(): string {
    const allocated = this.#model.totals.reduce((sum, bytes, kind) => (kind >= DATA ? sum + bytes : sum), 0);
    return `Data: ${percent(allocated, this.#model.size)} of ${size(this.#model.size)}, in ${plural(this.#model.count, 'stretch', 'stretches')}. Each square is ${size(Math.round(this.#model.size / this.#cellCount))}.`;
  }

  #words(found: FoundExtent): string {
    const range = `${hex(found.offset)} – ${hex(found.offset + found.length - 1)}, ${size(found.length)}`;
    const compressed = found.compressed ? ', compressed' : '';
    return `${this.#nameOf(found.kind, found.depth)}${compressed}: ${range} (at ${size(found.offset)})`;
  }

  #nameOf(kind: number, depth: number): string {
    if (kind === UNALLOCATED) return 'Not allocated';
    const layer = this.#layers[depth];
    const where = this.#layers.length > 1 && layer !== undefined ? ` in ${layer}` : '';
    return `${kind === ZERO ? 'Zeroes' : 'Data'}${where}`;
  }

  #legendItems(): HTMLElement[] {
    const shown = [...PAINT, { kind: UNALLOCATED, variable: '--map-empty' }];
    return shown
      .filter(({ kind }) => this.#model.totals[kind]! > 0)
      .map(({ kind, variable }) =>
        h(
          'li',
          {},
          h('span', { class: 'swatch', style: `background: var(${variable})` }),
          `${this.#legendName(kind)} `,
          h('span', { class: 'muted' }, size(this.#model.totals[kind]!)),
        ),
      );
  }

  #legendName(kind: number): string {
    if (kind === UNALLOCATED) return 'Not allocated';
    if (kind === ZERO) return 'Zeroes';
    const depth = kind - DATA;
    if (this.#layers.length <= 1) return 'Data';
    if (depth === DEEPEST && this.#layers.length > DEEPEST + 1) return `Data, layer ${count(DEEPEST + 1)} and below`;
    return `Data in ${this.#layers[depth] ?? `layer ${depth + 1}`}`;
  }
}

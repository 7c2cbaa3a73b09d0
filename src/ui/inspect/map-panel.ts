/** The allocation map: read part by part, drawn while it grows. */
import type { Disk } from '../../client/index.ts';
import { button, h } from '../parts/dom.ts';
import { errorView, kindOf } from '../parts/error-view.ts';
import { percent } from '../parts/text.ts';
import { MapModel } from './map-model.ts';
import { MapView } from './map-view.ts';
import { begin } from '../parts/begin.ts';

/** The disk is asked for in so many parts, so that the picture grows and no answer is large. */
const PARTS = 64;
const SMALLEST_PART = 16 * 1024 * 1024;
const PART_ALIGNMENT = 2 * 1024 * 1024;

export class MapPanel {
  readonly element: HTMLElement;
  readonly #disk: Disk;
  readonly #layers: readonly string[];
  readonly #words = h('p', { class: 'muted small', role: 'status', 'data-testid': 'map-status' });
  readonly #body = h('div', {});
  readonly #again = button('Read again', () => begin(this.read()), { icon: 'reset', kind: 'quiet' });
  #view: MapView | undefined;
  #abort: AbortController | undefined;

  constructor(disk: Disk, layers: readonly string[]) {
    this.#disk = disk;
    this.#layers = layers;
    this.element = h(
      'section',
      { class: 'panel', 'aria-label': 'Allocation map' },
      h('div', { class: 'panel-head' }, h('div', {}, h('h2', {}, 'Allocation map'), this.#words), this.#again),
      this.#body,
    );
  }

  async read(): Promise<void> {
    this.dispose();
    const abort = new AbortController();
    this.#abort = abort;
    this.#again.hidden = true;
    const model = new MapModel(this.#disk.size);
    const view = new MapView(model, this.#layers);
    this.#view = view;
    this.#body.replaceChildren(view.element);
    try {
      await this.#readParts(model, view, abort.signal);
      this.#words.textContent = 'What of the disk is stored where.';
    } catch (error) {
      if (kindOf(error) !== 'aborted') this.#body.append(errorView(error, 'Reading the map'));
    } finally {
      this.#again.hidden = false;
      view.redraw();
    }
  }

  dispose(): void {
    this.#abort?.abort();
    this.#view?.dispose();
  }

  async #readParts(model: MapModel, view: MapView, signal: AbortSignal): Promise<void> {
    const { size } = this.#disk;
    const part = Math.max(SMALLEST_PART, Math.ceil(size / PARTS / PART_ALIGNMENT) * PART_ALIGNMENT);
    for (let offset = 0; offset < size; offset += part) {
      const length = Math.min(part, size - offset);
      const extents = await this.#disk.map({ offset, length, signal });
      signal.throwIfAborted();
      for (const extent of extents) model.add(extent);
      this.#words.textContent = `Reading: ${percent(offset + length, size)}`;
      view.update();
    }
  }
}

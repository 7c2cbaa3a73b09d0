/** Saving a disk with all its layers as one file: format, progress, cancel. */
import type { Disk } from '../../client/index.ts';
import { button, h } from '../parts/dom.ts';
import { errorView, kindOf } from '../parts/error-view.ts';
import { asBlockError, saveTarget, type SaveTarget } from '../parts/save.ts';
import { percent, size } from '../parts/text.ts';
import { begin } from '../parts/begin.ts';

const FORMATS = [
  { format: 'qcow2', label: 'qcow2: only what is in use' },
  { format: 'raw', label: 'raw: every byte' },
] as const;

/** What is to be done around a download: a machine stands still meanwhile. */
export interface AroundDownload {
  begin(): Promise<void> | undefined;
  end(): Promise<void> | undefined;
}

export class DownloadPanel {
  readonly element: HTMLElement;
  readonly #name: string;
  readonly #around: AroundDownload;
  readonly #format = h(
    'select',
    { 'aria-label': 'Format of the download', 'data-testid': 'download-format' },
    ...FORMATS.map(({ format, label }) => h('option', { value: format }, label)),
  );
  readonly #start = button('Download', () => begin(this.#run()), { icon: 'download', 'data-testid': 'download' });
  readonly #cancel = button('Cancel', () => this.cancel(), { icon: 'close', 'data-testid': 'download-cancel' });
  readonly #progress = h('progress', { max: 1, value: 0, 'aria-label': 'Download' });
  readonly #words = h('p', { class: 'small', role: 'status', 'data-testid': 'download-status' });
  readonly #problem = h('div', {});
  #disk: Disk | undefined;
  #abort: AbortController | undefined;

  /** @param name of the disk, without an ending */
  constructor(name: string, around: AroundDownload) {
    this.#name = name.replace(
      /\.(qcow2?|img|raw|vmdk|vdi|vhdx?|vpc|qed|iso|ima|dmg|hdd|hds|luks|bin|cloop|bochs)$/i,
      '',
    );
    this.#around = around;
    this.#progress.hidden = true;
    this.#cancel.hidden = true;
    this.#start.disabled = true;
    this.element = h(
      'section',
      { class: 'panel', 'aria-label': 'Download' },
      h(
        'div',
        { class: 'panel-head' },
        h(
          'div',
          {},
          h('h2', {}, 'Download'),
          h('p', { class: 'muted small' }, 'The disk with all its layers, as one file.'),
        ),
        h('div', { class: 'actions' }, h('div', { class: 'field' }, this.#format), this.#start, this.#cancel),
      ),
      this.#progress,
      this.#words,
      this.#problem,
    );
  }

  /** The disk to save, or none. */
  setDisk(disk: Disk | undefined): void {
    this.#disk = disk;
    this.#start.disabled = disk === undefined;
  }

  cancel(): void {
    this.#abort?.abort();
  }

  async #run(): Promise<void> {
    const disk = this.#disk;
    if (disk === undefined) return;
    const format = this.#format.value as (typeof FORMATS)[number]['format'];
    const name = `${this.#name}.${format === 'qcow2' ? 'qcow2' : 'img'}`;
    this.#problem.replaceChildren();
    this.#words.textContent = '';
    let target: SaveTarget | undefined;
    try {
      target = await saveTarget(name);
      if (target === undefined) return;
      await this.#transfer(disk, format, target, name);
      this.#words.textContent = `${name} is saved.`;
    } catch (error) {
      await target?.discard().catch(() => undefined); // the error that is shown says more than one of the clean-up
      this.#failed(asBlockError(error, name), name);
    } finally {
      this.#busy(false);
    }
  }

  async #transfer(disk: Disk, format: 'qcow2' | 'raw', target: SaveTarget, name: string): Promise<void> {
    const abort = new AbortController();
    this.#abort = abort;
    this.#busy(true);
    await this.#around.begin();
    try {
      const stream = await disk.export({
        format,
        signal: abort.signal,
        onProgress: (done, total) => this.#show(name, done, total),
      });
      await stream.pipeTo(target.writable, { signal: abort.signal });
      await target.finish();
    } finally {
      this.#abort = undefined;
      await this.#around.end();
    }
  }

  #busy(busy: boolean): void {
    this.#progress.hidden = !busy;
    this.#progress.value = 0;
    this.#cancel.hidden = !busy;
    this.#start.hidden = busy;
    this.#format.disabled = busy;
  }

  #show(name: string, done: number, total: number): void {
    this.#progress.max = Math.max(1, total);
    this.#progress.value = done;
    this.#words.textContent = `${name}: ${size(done)} of ${size(total)} (${percent(done, total)})`;
  }

  #failed(error: unknown, name: string): void {
    if (kindOf(error) === 'aborted') {
      this.#words.textContent = `Stopped. Nothing of ${name} was kept.`;
      return;
    }
    this.#words.textContent = '';
    this.#problem.replaceChildren(errorView(error, `Saving ${name}`));
  }
}

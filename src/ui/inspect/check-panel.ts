/** Checking an image's tables, and repairing those of the page's own disks. */
import type { CheckResult, Disk } from '../../client/index.ts';
import { button, h } from '../parts/dom.ts';
import { errorView, kindOf } from '../parts/error-view.ts';
import { count, offset, percent, plural } from '../parts/text.ts';
import { begin } from '../parts/begin.ts';

/** More would only fill the page. The counts are complete. */
const MAX_SHOWN = 200;

export class CheckPanel {
  readonly element: HTMLElement;
  readonly #disk: Disk;
  readonly #owned: boolean;
  readonly #result = h('div', { class: 'view', role: 'status', 'data-testid': 'check-result' });
  readonly #button = button('Check', () => begin(this.run()), { icon: 'check', 'data-testid': 'check' });
  readonly #progress = h('progress', { max: 1, 'aria-label': 'Check' });

  /** @param owned whether repairs are offered: the page never writes to what a person dropped on it */
  constructor(disk: Disk, owned: boolean) {
    this.#disk = disk;
    this.#owned = owned;
    this.#progress.hidden = true;
    const words = owned
      ? 'Looks for errors in the tables, and can repair them.'
      : 'Looks for errors in the tables. Your file is only read.';
    this.element = h(
      'section',
      { class: 'panel', 'aria-label': 'Check' },
      h(
        'div',
        { class: 'panel-head' },
        h('div', {}, h('h2', {}, 'Check'), h('p', { class: 'muted small' }, words)),
        this.#button,
      ),
      this.#progress,
      this.#result,
    );
  }

  async run(repair?: 'all'): Promise<void> {
    this.#button.disabled = true;
    this.#progress.hidden = false;
    this.#progress.removeAttribute('value');
    try {
      const result = await this.#disk.check({
        repair,
        onProgress: (done, total) => {
          this.#progress.max = Math.max(1, total);
          this.#progress.value = done;
        },
      });
      this.#show(result);
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#button.disabled = false;
      this.#progress.hidden = true;
    }
  }

  /** A format without tables has nothing to check: that is a fact and no failure. */
  #failed(error: unknown): void {
    if (kindOf(error) !== 'unsupported') this.#result.replaceChildren(errorView(error, 'Checking'));
    else
      this.#result.replaceChildren(
        h('p', {}, `There is nothing to check: the format ${this.#disk.format} has no tables of its own.`),
      );
  }

  #show(result: CheckResult): void {
    const found = result.corruptions + result.leaks + result.checkErrors;
    const fixed = result.corruptionsFixed + result.leaksFixed;
    const shown = result.findings.slice(0, MAX_SHOWN);
    const repairs =
      this.#owned && result.corruptions + result.leaks > 0
        ? button('Repair', () => begin(this.run('all')), { kind: 'primary', 'data-testid': 'repair' })
        : undefined;
    this.#result.replaceChildren(
      h('p', {}, h('strong', {}, verdict(found, fixed)), ' ', clusterWords(result)),
      ...(found + fixed === 0 ? [] : [h('p', { class: 'muted' }, countsOf(result))]),
      ...(shown.length === 0 ? [] : [findingsList(shown, result.findings.length)]),
      ...(repairs === undefined ? [] : [h('div', { class: 'actions' }, repairs)]),
    );
  }
}

function verdict(found: number, fixed: number): string {
  const repaired = fixed === 0 ? '' : `${plural(fixed, 'error was', 'errors were')} repaired. `;
  return repaired + (found === 0 ? 'No errors were found.' : `${plural(found, 'error')} found.`);
}

function countsOf(result: CheckResult): string {
  const parts = [
    plural(result.corruptions, 'corruption'),
    plural(result.leaks, 'leaked cluster'),
    plural(result.checkErrors, 'place', 'places') + ' that could not be checked',
  ];
  return `${parts.join(', ')}.`;
}

function clusterWords(result: CheckResult): string {
  if (result.totalClusters === 0) return '';
  const share = percent(result.allocatedClusters, result.totalClusters);
  return `${count(result.allocatedClusters)} of ${plural(result.totalClusters, 'cluster')} (${share}) are in use.`;
}

function findingsList(shown: CheckResult['findings'], all: number): HTMLElement {
  return h(
    'ul',
    { class: 'findings', tabindex: 0, 'aria-label': 'Findings' },
    ...shown.map(({ kind, message, hostOffset, fixed }) =>
      h(
        'li',
        {},
        h('span', { class: 'muted' }, fixed ? `${kind}, fixed` : kind),
        h('span', {}, message, hostOffset === undefined ? '' : ` (at ${offset(hostOffset)})`),
      ),
    ),
    all > shown.length &&
      h('li', {}, h('span', {}), h('span', {}, `and ${plural(all - shown.length, 'more', 'more')}`)),
  );
}

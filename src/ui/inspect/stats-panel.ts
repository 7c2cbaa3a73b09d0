/** What every layer has read and written since it was opened. */
import type { Disk, NodeStatistics } from '../../client/index.ts';
import { button, h } from '../parts/dom.ts';
import { errorView } from '../parts/error-view.ts';
import { count, size } from '../parts/text.ts';
import { begin } from '../parts/begin.ts';

const HEADINGS = ['Node', 'Reads', 'Read', 'Writes', 'Written', 'Flushes', 'Failed'];

export class StatsPanel {
  readonly element: HTMLElement;
  readonly #disk: Disk;
  readonly #body = h('div', { class: 'table-scroll', tabindex: 0, role: 'region', 'aria-label': 'Statistics by node' });

  constructor(disk: Disk) {
    this.#disk = disk;
    const refresh = button('Refresh', () => begin(this.read()), { kind: 'quiet', icon: 'reset' });
    const details = h(
      'details',
      {
        'data-testid': 'stats',
        ontoggle: (event: Event) => {
          if ((event.currentTarget as HTMLDetailsElement).open) begin(this.read());
        },
      },
      h('summary', {}, 'Statistics'),
      this.#body,
      refresh,
    );
    this.element = h('section', { class: 'panel', 'aria-label': 'Statistics' }, details);
  }

  async read(): Promise<void> {
    try {
      const rows = rowsOf(await this.#disk.stats(), 0);
      this.#body.replaceChildren(
        h(
          'table',
          {},
          h('thead', {}, h('tr', {}, ...HEADINGS.map((heading) => h('th', { scope: 'col' }, heading)))),
          h('tbody', {}, ...rows),
        ),
      );
    } catch (error) {
      this.#body.replaceChildren(errorView(error, 'Reading the statistics'));
    }
  }
}

function rowsOf(node: NodeStatistics, depth: number): HTMLElement[] {
  const { stats } = node;
  const failed = stats.failed_rd_operations + stats.failed_wr_operations + stats.failed_flush_operations;
  const cells = [
    `${'\u2003'.repeat(depth)}${node['node-name']} (${node.driver})`,
    count(stats.rd_operations),
    size(stats.rd_bytes),
    count(stats.wr_operations),
    size(stats.wr_bytes),
    count(stats.flush_operations),
    count(failed),
  ];
  const row = h('tr', {}, ...cells.map((cell) => h('td', {}, cell)));
  return [row, ...Object.values(node.children).flatMap((child) => rowsOf(child, depth + 1))];
}

/** An image, looked into: facts, chain, map, check, download. */
import type { Disk } from '../../client/index.ts';
import type { Chain } from '../images/chain.ts';
import { imagesIn, type FileInside } from '../images/folder.ts';
import { button, h } from '../parts/dom.ts';
import { chainPanel, formatWord, missingNotice, type ChainActions } from './chain-panel.ts';
import { CheckPanel } from './check-panel.ts';
import { DownloadPanel } from './download-panel.ts';
import { bitmapsTable } from './bitmaps-table.ts';
import { factsList, factsOf, folderFacts } from './facts.ts';
import { imagesNotice, unreadableNotice } from './folder-notices.ts';
import { MapPanel } from './map-panel.ts';
import { SnapshotsPanel } from '../snapshots/snapshots-panel.ts';
import { StatsPanel } from './stats-panel.ts';

export interface InspectorActions extends ChainActions {
  back(): void;
  boot(): void;
  /** Opens an image that lies in the folder that is shown. */
  openInside(image: FileInside): void;
}

export interface InspectorInput {
  readonly title: string;
  readonly chain: Chain;
  /** Open for reading its data; undefined while a base is missing. */
  readonly disk: Disk | undefined;
  /** Whether the top layer is one of the page's own. */
  readonly owned: boolean;
}

export class InspectorView {
  readonly element: HTMLElement;
  readonly #disk: Disk | undefined;
  readonly #map: MapPanel | undefined;
  readonly #download: DownloadPanel;
  readonly #snapshots: SnapshotsPanel | undefined;

  constructor({ title, chain, disk, owned }: InspectorInput, actions: InspectorActions) {
    this.#disk = disk;
    const top = chain.layers[0]!;
    const folder = top.source.kind === 'folder' ? top.source.folder : undefined;
    const inside = folder === undefined ? [] : imagesIn(folder);
    this.#download = new DownloadPanel(title, { begin: () => undefined, end: () => undefined });
    this.#download.setDisk(disk);
    this.#map =
      disk === undefined
        ? undefined
        : new MapPanel(
            disk,
            chain.layers.map(({ name }) => name),
          );
    this.#snapshots = disk?.format === 'qcow2' ? this.#snapshotsOf(disk, owned) : undefined;
    // The tables of a folder's disk are made as they are read: there is nothing that could be wrong.
    const check = disk === undefined || folder !== undefined ? undefined : new CheckPanel(disk, owned);
    this.element = h(
      'div',
      { class: 'view', 'data-testid': 'inspector' },
      h(
        'div',
        { class: 'panel-head' },
        h(
          'div',
          { class: 'title' },
          h('h1', {}, title),
          h('span', { class: 'badge', 'data-testid': 'format' }, formatWord(top)),
        ),
        h(
          'div',
          { class: 'actions' },
          button('Back', actions.back, { icon: 'back', kind: 'quiet', 'data-testid': 'back' }),
          disk === undefined
            ? undefined
            : button(folder === undefined ? 'Boot…' : 'Boot a machine with it…', actions.boot, {
                icon: 'play',
                kind: 'primary',
                'data-testid': 'boot',
              }),
        ),
      ),
      folder !== undefined && folder.unreadable.count > 0 && unreadableNotice(folder.unreadable),
      inside.length > 0 && imagesNotice(inside, (image) => actions.openInside(image)),
      chain.missing !== undefined && missingNotice(chain.missing, actions),
      h(
        'div',
        { class: 'columns' },
        h(
          'section',
          { class: 'panel', 'aria-label': 'Facts' },
          h('h2', {}, folder === undefined ? 'Image' : 'Disk'),
          factsList(folder === undefined ? factsOf(top.info, top.probe) : folderFacts(folder, top.info)),
          bitmapsTable(top.info),
        ),
        chainPanel(chain),
      ),
      this.#map?.element,
      h('div', { class: 'columns' }, check?.element, disk === undefined ? undefined : this.#download.element),
      this.#snapshots?.element,
      disk === undefined ? undefined : new StatsPanel(disk).element,
    );
  }

  /** Those of a person's own file are only shown: the page never writes to it. */
  #snapshotsOf(disk: Disk, owned: boolean): SnapshotsPanel {
    const { snapshots } = disk;
    const change = {
      save: async (name: string) => void (await snapshots.create({ name })),
      restore: async ({ id }: { readonly id: string }) => {
        await snapshots.apply(id);
        await this.#map?.read();
      },
      delete: ({ id }: { readonly id: string }) => snapshots.delete(id),
    };
    return new SnapshotsPanel(
      { list: () => snapshots.list(), ...(owned && !disk.readOnly && { change }) },
      {
        about: 'Earlier moments of this disk, kept in the image. From here the disk alone is saved and brought back.',
        loss: 'What was written to the disk since then is lost, unless you save a snapshot of it before.',
      },
    );
  }

  /** To be called once the element stands on the page. */
  async start(): Promise<void> {
    await this.#snapshots?.read();
    await this.#map?.read();
  }

  async close(): Promise<void> {
    this.#download.cancel();
    this.#map?.dispose();
    await this.#disk?.close();
  }
}

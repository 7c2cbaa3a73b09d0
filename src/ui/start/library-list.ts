/** "Your disks": the overlays that this browser keeps. */
import { isFolderDisk, type StoredDisk } from '../images/library.ts';
import { DEVICE_NAMES } from '../images/device.ts';
import { button, h } from '../parts/dom.ts';
import { ago, size } from '../parts/text.ts';

export interface LibraryActions {
  boot(disk: StoredDisk): void;
  inspect(disk: StoredDisk): void;
  startOver(disk: StoredDisk): void;
  remove(disk: StoredDisk): void;
}

export function libraryList(disks: readonly StoredDisk[], actions: LibraryActions): HTMLElement {
  if (disks.length === 0) {
    return h(
      'section',
      { class: 'section', 'aria-label': 'Your disks', 'data-testid': 'library' },
      h('h2', {}, 'Your disks'),
      h(
        'p',
        { class: 'muted' },
        'None yet. When you boot an image, what the machine writes is kept here, in this browser.',
      ),
    );
  }
  return h(
    'section',
    { class: 'section', 'aria-label': 'Your disks', 'data-testid': 'library' },
    h('h2', {}, 'Your disks'),
    h('ul', { class: 'disks' }, ...disks.map((disk) => item(disk, disks, actions))),
  );
}

function item(disk: StoredDisk, all: readonly StoredDisk[], actions: LibraryActions): HTMLElement {
  const { name } = disk;
  return h(
    'li',
    { 'data-testid': 'library-disk' },
    h('div', { class: 'disk-words' }, h('strong', {}, name), h('p', { class: 'muted small' }, wordsOf(disk, all))),
    h(
      'div',
      { class: 'actions' },
      isFolderDisk(disk)
        ? button('Boot with it…', () => actions.boot(disk), {
            icon: 'play',
            'aria-label': `Boot a machine with ${name}`,
          })
        : button('Boot', () => actions.boot(disk), { kind: 'primary', icon: 'play', 'aria-label': `Boot ${name}` }),
      button('Look inside', () => actions.inspect(disk), { icon: 'search', 'aria-label': `Look inside ${name}` }),
      button('Start over', () => actions.startOver(disk), {
        kind: 'quiet',
        icon: 'reset',
        'aria-label': `Start over with ${name}`,
      }),
      button('Delete', () => actions.remove(disk), { kind: 'quiet', icon: 'trash', 'aria-label': `Delete ${name}` }),
    ),
  );
}

function wordsOf(disk: StoredDisk, all: readonly StoredDisk[]): string {
  const base = disk.layers[0];
  const where = disk.storage === 'opfs' ? 'this site’s files' : 'IndexedDB';
  const from = base === undefined ? '' : ` over ${isFolderDisk(disk) ? `the folder ${base.name}` : base.name}`;
  const second = all.find(({ id }) => id === disk.second);
  const beside = second === undefined ? '' : `, with ${second.name} as second disk`;
  return `${DEVICE_NAMES[disk.device]}, ${size(disk.size)}${from}${beside}, kept in ${where}; used ${ago(disk.usedMs, Date.now())}`;
}

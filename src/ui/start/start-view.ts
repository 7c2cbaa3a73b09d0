/** The first page: open an image, try a demo, go on with a disk of one's own. */
import type { StoredDisk } from '../images/library.ts';
import { h } from '../parts/dom.ts';
import type { DemoManifest } from './demo.ts';
import { demoList, type DemoActions } from './demo-list.ts';
import { dropZone, type DropActions } from './drop-zone.ts';
import { libraryList, type LibraryActions } from './library-list.ts';

export interface StartInput {
  readonly manifest: DemoManifest | undefined;
  readonly disks: readonly StoredDisk[];
  /** What went wrong on the way here, or what to know about this browser. */
  readonly notices: readonly HTMLElement[];
}

export interface StartActions {
  readonly drop: DropActions;
  readonly demo: DemoActions;
  readonly library: LibraryActions;
}

export function startView(input: StartInput, actions: StartActions): HTMLElement {
  return h(
    'div',
    { class: 'view', 'data-testid': 'start' },
    h(
      'div',
      { class: 'intro' },
      h('h1', {}, 'Disk images, opened where you are'),
      h('p', {}, 'Look inside a disk image, or boot it here and keep what it writes. Nothing leaves this computer.'),
    ),
    ...input.notices,
    dropZone(actions.drop),
    ...(input.disks.length > 0
      ? [libraryList(input.disks, actions.library), demoList(input.manifest, actions.demo)]
      : [demoList(input.manifest, actions.demo), libraryList(input.disks, actions.library)]),
  );
}

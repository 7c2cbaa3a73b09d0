/** The first page: open an image, try a demo, go on with a disk of one's own. */
import type { StoredDisk } from '../images/library.ts';
import { h } from '../parts/dom.ts';
import type { DemoManifest } from './demo.ts';
import { demoList, type DemoActions } from './demo-list.ts';
import { dropZone, type DropActions } from './drop-zone.ts';
import { libraryList, type LibraryActions } from './library-list.ts';
import type { UnpackedImage } from '../images/unpacked.ts';
import { unpackedList, type UnpackedActions } from './unpacked-list.ts';

export interface StartInput {
  readonly manifest: DemoManifest | undefined;
  readonly disks: readonly StoredDisk[];
  /** Unpacked ones. */
  readonly images: readonly UnpackedImage[];
  /** What went wrong on the way here, or what to know about this browser. */
  readonly notices: readonly HTMLElement[];
}

export interface StartActions {
  readonly drop: DropActions;
  readonly demo: DemoActions;
  readonly library: LibraryActions;
  readonly images: UnpackedActions;
}

export function startView(input: StartInput, actions: StartActions): HTMLElement {
  const library = libraryList(input.disks, actions.library);
  const demos = demoList(input.manifest, actions.demo);
  const unpacked = input.images.length > 0 ? [unpackedList(input.images, actions.images)] : [];
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
    ...(input.disks.length > 0 ? [library, ...unpacked, demos] : [...unpacked, demos, library]),
  );
}

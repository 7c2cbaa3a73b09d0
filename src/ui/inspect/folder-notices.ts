/** What to know about a folder that is shown as a disk. */
import type { FileInside, UnreadableFiles } from '../images/folder.ts';
import { button, h } from '../parts/dom.ts';
import { plural } from '../parts/text.ts';

/** Says which files of a folder are not on its disk. */
export function unreadableNotice({ count, paths }: UnreadableFiles): HTMLElement {
  const more = count - paths.length;
  return h(
    'div',
    { class: 'notice warn', role: 'note', 'data-testid': 'unreadable' },
    h('h2', {}, `${plural(count, 'file')} of the folder could not be read`),
    h('p', {}, 'The browser or the system does not let this page read them. They are not on the disk:'),
    h('ul', { class: 'small' }, ...paths.map((path) => h('li', {}, h('code', {}, path)))),
    more > 0 && h('p', {}, `… and ${plural(more, 'other')}.`),
  );
}

/** More images than these are counted. */
const MAX_OFFERED = 6;

/** A folder with disk images in it may have been meant for those. */
export function imagesNotice(images: readonly FileInside[], open: (image: FileInside) => void): HTMLElement {
  const more = images.length - MAX_OFFERED;
  return h(
    'div',
    { class: 'notice info', role: 'note', 'data-testid': 'images-inside' },
    h('h2', {}, images.length === 1 ? 'There is a disk image in it' : `There are ${images.length} disk images in it`),
    h('p', {}, 'This is the folder as a disk. To see what an image in it holds, open that:'),
    h(
      'div',
      { class: 'actions' },
      ...images
        .slice(0, MAX_OFFERED)
        .map((image) => button(`Open ${image.path}`, () => open(image), { icon: 'search' })),
      more > 0 && h('span', { class: 'muted' }, `and ${plural(more, 'other')}`),
    ),
  );
}

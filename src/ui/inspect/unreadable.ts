import type { UnreadableFiles } from '../images/folder.ts';
import { h } from '../parts/dom.ts';
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

/** "Unpacked images": what archives became, in this browser. */
import type { UnpackedImage } from '../images/unpacked.ts';
import { button, h } from '../parts/dom.ts';
import { size } from '../parts/text.ts';

export interface UnpackedActions {
  inspect(image: UnpackedImage): void;
  remove(image: UnpackedImage): void;
}

/** @param images at least one */
export function unpackedList(images: readonly UnpackedImage[], actions: UnpackedActions): HTMLElement {
  return h(
    'section',
    { class: 'section', 'aria-label': 'Unpacked images', 'data-testid': 'unpacked-images' },
    h('h2', {}, 'Unpacked images'),
    h('ul', { class: 'disks' }, ...images.map((image) => item(image, actions))),
  );
}

function item(image: UnpackedImage, actions: UnpackedActions): HTMLElement {
  const { name } = image;
  return h(
    'li',
    { 'data-testid': 'unpacked-image' },
    h(
      'div',
      { class: 'disk-words' },
      h('strong', {}, name),
      h('p', { class: 'muted small' }, `${size(image.size)}, kept in this site’s files; machines only read it`),
    ),
    h(
      'div',
      { class: 'actions' },
      button('Look inside', () => actions.inspect(image), {
        kind: 'primary',
        icon: 'search',
        'aria-label': `Look inside ${name}`,
      }),
      button('Delete', () => actions.remove(image), { kind: 'quiet', icon: 'trash', 'aria-label': `Delete ${name}` }),
    ),
  );
}

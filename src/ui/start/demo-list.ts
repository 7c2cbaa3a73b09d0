/** The images that come with the page, as cards. */
import { button, h } from '../parts/dom.ts';
import { size } from '../parts/text.ts';
import type { DemoImage, DemoManifest } from './demo.ts';

export interface DemoActions {
  boot(image: DemoImage): void;
  inspect(image: DemoImage): void;
}

export function demoList(manifest: DemoManifest | undefined, actions: DemoActions): HTMLElement {
  const heading = h('h2', {}, 'Try one');
  if (manifest === undefined || manifest.images.length === 0) {
    return h(
      'section',
      { class: 'section', 'aria-label': 'Demo images', 'data-testid': 'no-demo' },
      heading,
      h(
        'p',
        { class: 'muted' },
        'This site comes without demo images: they are built from Debian packages where there are any. Everything else works; drop an image of your own.',
      ),
    );
  }
  return h(
    'section',
    { class: 'section', 'aria-label': 'Demo images', 'data-testid': 'demo-list' },
    heading,
    h('ul', { class: 'cards' }, ...manifest.images.map((image) => card(image, actions))),
  );
}

function card(image: DemoImage, actions: DemoActions): HTMLElement {
  return h(
    'li',
    { class: 'card', 'data-testid': `demo-${image.id}` },
    h('h3', {}, image.title),
    h('p', {}, `${size(image.size)}. ${image.description}`),
    h(
      'div',
      { class: 'actions' },
      button('Boot', () => actions.boot(image), { kind: 'primary', icon: 'play', 'aria-label': `Boot ${image.title}` }),
      button('Look inside', () => actions.inspect(image), {
        icon: 'search',
        'aria-label': `Look inside ${image.title}`,
      }),
    ),
  );
}

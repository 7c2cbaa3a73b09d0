/** Who made what: the licences of what the page is made of. */
import type { DemoManifest } from './demo.ts';
import { demoUrl } from './demo.ts';
import { button, h } from '../parts/dom.ts';
import { begin } from '../parts/begin.ts';

interface Part {
  readonly name: string;
  readonly url: string;
  readonly licence: string;
  readonly what: string;
  /** The licence's text, which goes where the code goes. A package that has none only says which licence it is. */
  readonly text?: () => Promise<{ default: string }>;
}

const PARTS: readonly Part[] = [
  {
    name: 'v86',
    url: 'https://github.com/copy/v86',
    licence: 'BSD-2-Clause, © The v86 contributors',
    what: 'the PC',
    text: () => import('../../../node_modules/v86/LICENSE?raw'),
  },
  {
    name: 'xterm.js',
    url: 'https://xtermjs.org',
    licence: 'MIT, © The xterm.js authors',
    what: 'the serial terminal',
    text: () => import('../../../node_modules/@xterm/xterm/LICENSE?raw'),
  },
  {
    name: 'Comlink',
    url: 'https://github.com/GoogleChromeLabs/comlink',
    licence: 'Apache-2.0, © Google',
    what: 'calls between page and worker',
    text: () => import('../../../node_modules/comlink/LICENSE?raw'),
  },
  {
    name: 'idb-keyval',
    url: 'https://github.com/jakearchibald/idb-keyval',
    licence: 'Apache-2.0, © Jake Archibald',
    what: 'IndexedDB',
    text: () => import('../../../node_modules/idb-keyval/LICENCE?raw'),
  },
  {
    name: 'noble-hashes',
    url: 'https://github.com/paulmillr/noble-hashes',
    licence: 'MIT, © Paul Miller',
    what: 'digests and PBKDF2',
    text: () => import('../../../node_modules/@noble/hashes/LICENSE?raw'),
  },
  {
    name: 'noble-ciphers',
    url: 'https://github.com/paulmillr/noble-ciphers',
    licence: 'MIT, © Paul Miller',
    what: 'AES',
    text: () => import('../../../node_modules/@noble/ciphers/LICENSE?raw'),
  },
  {
    name: 'pako',
    url: 'https://github.com/nodeca/pako',
    licence: 'MIT and Zlib, © Vitaly Puzrin and Andrei Tuputcyn, Jean-loup Gailly and Mark Adler',
    what: 'deflate',
    text: () => import('../../../node_modules/pako/LICENSE?raw'),
  },
  {
    name: 'wasm-zstd',
    url: 'https://github.com/hpcc-systems/hpcc-js-wasm',
    licence: 'Apache-2.0, © HPCC Systems',
    what: 'zstd',
    text: () => import('../../../node_modules/@hpcc-js/wasm-zstd/LICENSE?raw'),
  },
  {
    name: 'xz-decompress',
    url: 'https://github.com/httptoolkit/xz-decompress',
    licence: 'MIT, © Tim Perry',
    what: 'xz',
  },
];

export function showAbout(manifest: DemoManifest | undefined): void {
  const dialog: HTMLDialogElement = h(
    'dialog',
    { 'aria-labelledby': 'about-title', 'data-testid': 'about' },
    h(
      'div',
      {},
      h('h2', { id: 'about-title' }, 'About Spindle'),
      h(
        'p',
        {},
        'A block layer of QEMU’s class in the browser: disk images are opened, written and checked where you are. Nothing leaves this computer. Spindle is free software under the MIT licence.',
      ),
      h('h3', {}, 'Made with'),
      h('ul', {}, ...PARTS.map(partItem)),
      ...(manifest === undefined ? [] : demoParts(manifest)),
      h(
        'div',
        { class: 'actions' },
        button('Close', () => dialog.close(), { kind: 'primary', autofocus: true }),
      ),
    ),
  );
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function partItem(part: Part): HTMLElement {
  const link = h('a', { href: part.url, rel: 'noreferrer' }, part.name);
  const { text: load } = part;
  if (load === undefined) return h('li', {}, link, `: ${part.what}. ${part.licence}`);
  const text = h('pre', { class: 'details', tabindex: 0 });
  const unfold = async (): Promise<void> => {
    text.textContent = (await load()).default;
  };
  const details = h('details', { ontoggle: () => begin(unfold()) }, h('summary', {}, part.licence), text);
  return h('li', {}, link, `: ${part.what}`, details);
}

function demoParts(manifest: DemoManifest): HTMLElement[] {
  return [
    h('h3', {}, 'In the demo images, from Debian'),
    h(
      'ul',
      {},
      ...manifest.packages.map((each) =>
        h(
          'li',
          {},
          h('a', { href: demoUrl(each.copyright) }, each.name),
          ` ${each.version} `,
          h('span', { class: 'muted' }, each.licence),
        ),
      ),
    ),
  ];
}

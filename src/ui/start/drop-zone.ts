/** Where images are dropped, chosen, or named by address. Files may be dropped anywhere on the page. */
import { button, h, icon, ICONS } from '../parts/dom.ts';

export interface DropActions {
  files(files: readonly File[]): void;
  url(url: string): void;
}

export function dropZone(actions: DropActions): HTMLElement {
  const input = h('input', {
    type: 'file',
    multiple: true,
    class: 'visually-hidden',
    tabindex: -1,
    'aria-label': 'Disk images',
    'data-testid': 'file-input',
    onchange: () => {
      const files = [...(input.files ?? [])];
      input.value = '';
      if (files.length > 0) actions.files(files);
    },
  });
  return h(
    'section',
    { class: 'drop', 'aria-label': 'Open an image', 'data-testid': 'drop-zone' },
    icon(ICONS.disk),
    h('strong', {}, 'Drop a disk image here'),
    h('p', { class: 'muted' }, 'qcow2 or raw. An overlay and its bases can be dropped together. Nothing is uploaded.'),
    button('Choose files…', () => input.click(), { kind: 'primary', icon: 'file', 'data-testid': 'choose-files' }),
    input,
    urlForm(actions),
  );
}

function urlForm(actions: DropActions): HTMLElement {
  const input = h('input', {
    type: 'url',
    required: true,
    placeholder: 'https://example.org/disk.qcow2',
    'aria-label': 'Address of an image',
    'data-testid': 'url-input',
  });
  return h(
    'form',
    {
      style: 'width: min(32rem, 100%)',
      onsubmit: (event: Event) => {
        event.preventDefault();
        actions.url(input.value);
      },
    },
    h(
      'div',
      { class: 'row' },
      input,
      h('button', { type: 'submit', class: 'button', 'data-testid': 'url-open' }, 'Open address'),
    ),
  );
}

/** Takes files that are dropped anywhere in the window. @param zone is marked while files hover */
export function acceptDrops(zone: () => HTMLElement | null, onFiles: (files: readonly File[]) => void): void {
  const mark = (over: boolean): void => void zone()?.classList.toggle('over', over);
  window.addEventListener('dragover', (event) => {
    if (event.dataTransfer?.types.includes('Files') !== true) return;
    event.preventDefault();
    mark(true);
  });
  window.addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) mark(false);
  });
  window.addEventListener('drop', (event) => {
    mark(false);
    if (event.dataTransfer === null) return;
    event.preventDefault();
    const files = [...event.dataTransfer.files];
    if (files.length > 0) onFiles(files);
  });
}

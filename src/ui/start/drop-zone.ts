/** Where images and folders are dropped, chosen, or named by address. Files may be dropped anywhere on the page. */
import { button, h, icon, ICONS } from '../parts/dom.ts';
import { folderButton } from '../parts/folder-button.ts';

export interface DropActions {
  files(files: readonly File[]): void;
  /** Files of a folder that was chosen. They know their paths. */
  folder(files: readonly File[]): void;
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
    h('strong', {}, 'Drop a disk image or a folder here'),
    h(
      'p',
      { class: 'muted' },
      'qcow2, VMDK, VDI, VHD, VHDX, DMG, raw and more, also packed with gzip, xz or zip; an overlay together with its bases. A folder becomes a FAT disk that a machine can read. Nothing is uploaded.',
    ),
    h(
      'div',
      { class: 'actions' },
      button('Choose files…', () => input.click(), { kind: 'primary', icon: 'file', 'data-testid': 'choose-files' }),
      ...folderButton('Choose a folder…', 'folder', actions.folder),
    ),
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

/** What was dropped: files alone, or with at least one folder among them everything as the browser's entries. */
export type Dropped =
  | { readonly files: readonly File[]; readonly entries?: undefined }
  | { readonly entries: readonly FileSystemEntry[]; readonly files?: undefined };

/** Takes what is dropped anywhere in the window. @param zone is marked while files hover */
export function acceptDrops(zone: () => HTMLElement | null, onDrop: (dropped: Dropped) => void): void {
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
    const dropped = droppedOf(event.dataTransfer);
    if (dropped.entries !== undefined || dropped.files.length > 0) onDrop(dropped);
  });
}

/** To be called in the event itself: afterwards the browser shows nothing any more. */
function droppedOf(transfer: DataTransfer): Dropped {
  const entries = [...transfer.items].flatMap((item) => item.webkitGetAsEntry() ?? []);
  return entries.some(({ isDirectory }) => isDirectory) ? { entries } : { files: [...transfer.files] };
}

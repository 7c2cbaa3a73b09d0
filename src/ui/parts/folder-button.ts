import { button, h } from './dom.ts';

/**
 * A button that asks for a folder, and the input behind it.
 *
 * @param name of both for tests: `choose-NAME`, `NAME-input`
 * @param onFiles gets all files of the folder, which know their paths in it
 */
export function folderButton(
  label: string,
  name: string,
  onFiles: (files: readonly File[]) => void,
  kind: 'plain' | 'primary' = 'plain',
): readonly HTMLElement[] {
  const input = h('input', {
    type: 'file',
    webkitdirectory: true,
    class: 'visually-hidden',
    tabindex: -1,
    'aria-label': label.replace(/…$/, ''),
    'data-testid': `${name}-input`,
    onchange: () => {
      const files = [...(input.files ?? [])];
      input.value = '';
      if (files.length > 0) onFiles(files);
    },
  });
  return [button(label, () => input.click(), { icon: 'folder', kind, 'data-testid': `choose-${name}` }), input];
}

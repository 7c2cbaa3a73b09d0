/** Asks which machine gets a folder's disk: nothing starts from the folder itself. */
import type { StoredDisk } from '../images/library.ts';
import { button, h } from '../parts/dom.ts';
import { formDialog } from '../parts/form-dialog.ts';
import type { DemoImage } from '../start/demo.ts';

export type MachineChoice =
  | { readonly kind: 'stored'; readonly disk: StoredDisk }
  | { readonly kind: 'demo'; readonly image: DemoImage };

/**
 * @param name of the folder
 * @returns undefined when the person decided otherwise
 */
export async function askMachine(name: string, choices: readonly MachineChoice[]): Promise<MachineChoice | undefined> {
  const select = h(
    'select',
    { 'data-testid': 'machine-choice' },
    ...choices.map((choice, index) => h('option', { value: index }, wordsOf(choice))),
  );
  const some = choices.length > 0;
  const form = (cancel: () => void): HTMLFormElement =>
    h(
      'form',
      { method: 'dialog' },
      h('h2', { id: 'machine-title' }, `Boot a machine with ${name}`),
      h(
        'p',
        { class: 'muted' },
        'No system starts from a folder. A machine that starts from another disk sees it as its second one, with a FAT volume. What the machine writes there is kept by this browser; your files are only read.',
      ),
      some
        ? h('label', { class: 'field' }, h('span', {}, 'Machine'), select)
        : h('p', {}, 'There is no machine here yet: open an image, and choose this folder when you boot it.'),
      h(
        'div',
        { class: 'actions' },
        some &&
          h(
            'button',
            { type: 'submit', value: 'boot', class: 'button primary', 'data-testid': 'machine-start' },
            'Boot',
          ),
        button(some ? 'Cancel' : 'Close', cancel),
      ),
    );
  const answer = await formDialog('machine-title', 'machine-dialog', form);
  return answer === 'boot' ? choices[Number(select.value)] : undefined;
}

function wordsOf(choice: MachineChoice): string {
  return choice.kind === 'stored' ? choice.disk.name : `${choice.image.title} (new)`;
}

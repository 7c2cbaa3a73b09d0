/** Asks for the passphrase of an encrypted image. */
import { button, h } from './dom.ts';
import { formDialog } from './form-dialog.ts';

/**
 * @param name of the image
 * @param wrong what was typed before does not open it
 * @returns undefined when the person decided otherwise
 */
export async function askPassphrase(name: string, wrong: boolean): Promise<string | undefined> {
  const input = h('input', {
    type: 'password',
    name: 'passphrase',
    autocomplete: 'off',
    required: true,
    autofocus: true,
    'aria-label': `Passphrase of ${name}`,
    'data-testid': 'passphrase',
  });
  const form = (cancel: () => void): HTMLFormElement =>
    h(
      'form',
      { method: 'dialog' },
      h('h2', { id: 'passphrase-title' }, `${name} is encrypted`),
      wrong
        ? h(
            'p',
            { class: 'notice error', role: 'alert', 'data-testid': 'passphrase-wrong' },
            'That passphrase does not open it. Mind capital letters and the layout of the keyboard.',
          )
        : h(
            'p',
            { class: 'muted' },
            'Its passphrase is kept in the memory of this tab only. What a machine writes over the image is kept unencrypted.',
          ),
      h('div', { class: 'form-grid' }, h('label', { class: 'field' }, h('span', {}, 'Passphrase'), input)),
      h(
        'div',
        { class: 'actions' },
        h(
          'button',
          { type: 'submit', value: 'open', class: 'button primary', 'data-testid': 'passphrase-open' },
          'Open',
        ),
        button('Cancel', cancel),
      ),
    );
  const answer = await formDialog('passphrase-title', 'passphrase-dialog', form);
  const typed = input.value;
  input.value = '';
  return answer === 'open' ? typed : undefined;
}

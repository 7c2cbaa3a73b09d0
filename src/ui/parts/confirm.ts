import { button, h } from './dom.ts';

/** Asks before something is lost. The safe answer has the focus. */
export function confirmLoss(question: string, consequence: string, yes: string): Promise<boolean> {
  const cancel = button('Cancel', () => dialog.close('no'), { autofocus: true });
  const go = button(yes, () => dialog.close('yes'), { kind: 'danger', 'data-testid': 'confirm' });
  const dialog = h(
    'dialog',
    { 'aria-labelledby': 'confirm-title' },
    h(
      'div',
      {},
      h('h2', { id: 'confirm-title' }, question),
      h('p', {}, consequence),
      h('div', { class: 'actions' }, cancel, go),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
  });
}

import { h } from './dom.ts';

/**
 * Shows a form in a dialog until one of its buttons or the Escape key closes it.
 *
 * @param titleId of the heading in the form
 * @param build makes the form; `cancel` closes the dialog
 * @returns the value of the button that submitted the form, '' for none
 */
export function formDialog(
  titleId: string,
  testId: string,
  build: (cancel: () => void) => HTMLFormElement,
): Promise<string> {
  const dialog: HTMLDialogElement = h(
    'dialog',
    { 'aria-labelledby': titleId, 'data-testid': testId },
    build(() => dialog.close('')),
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
  });
}

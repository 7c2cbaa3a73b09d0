/** The machine's screen. It takes keyboard and mouse only while it has the focus, so that the page stays usable by keyboard. */
import { h } from '../parts/dom.ts';
import { isLeaveKey } from './terminal-view.ts';
import { begin } from '../parts/begin.ts';

/** What the screen switches on and off. */
export interface InputSwitch {
  keyboard_set_enabled(enabled: boolean): void;
  mouse_set_enabled(enabled: boolean): void;
}

export class ScreenView {
  readonly element: HTMLElement;
  /** v86 draws into this; it wants a `div` for text and a `canvas` in it. */
  readonly container: HTMLElement;
  readonly #hint = h('span', { class: 'muted' });
  #input: InputSwitch | undefined;

  constructor() {
    this.container = h(
      'div',
      {
        class: 'screen-frame',
        tabindex: 0,
        role: 'application',
        'aria-label': 'Screen of the machine: takes keyboard and mouse while it has the focus. Control Alt G leaves it',
        'data-testid': 'screen',
        onfocus: () => this.#capture(true),
        onblur: () => this.#capture(false),
        onclick: () => this.container.focus(),
        ondblclick: () => begin(this.#lockPointer()),
      },
      h('div', {}),
      h('canvas', { 'aria-hidden': 'true' }),
    );
    // Before v86's own listeners on the window: the way out is never the guest's.
    this.container.addEventListener('keydown', (event) => this.#onKey(event), { capture: true });
    this.element = h(
      'section',
      { class: 'pane', 'aria-label': 'Screen' },
      h('div', { class: 'pane-head' }, h('h2', {}, 'Screen'), this.#hint),
      this.container,
    );
    this.#capture(false);
  }

  /** The machine is there: its keyboard follows the focus from now on. */
  connect(input: InputSwitch): void {
    this.#input = input;
    this.#capture(document.activeElement === this.container);
  }

  disconnect(): void {
    this.#input = undefined;
  }

  /** @returns whether the browser went along */
  async fullScreen(): Promise<boolean> {
    try {
      await this.container.requestFullscreen();
    } catch (error) {
      if (error instanceof TypeError) return false;
      throw error;
    }
    this.container.focus();
    return true;
  }

  #capture(captured: boolean): void {
    this.#input?.keyboard_set_enabled(captured);
    this.#input?.mouse_set_enabled(captured);
    this.#hint.replaceChildren(
      ...(captured
        ? [h('kbd', {}, 'Ctrl Alt G'), ' gives the keyboard back; double-click locks the mouse']
        : ['Click to give it the keyboard and the mouse']),
    );
  }

  #onKey(event: KeyboardEvent): void {
    if (!isLeaveKey(event)) return;
    event.preventDefault();
    event.stopPropagation();
    if (document.pointerLockElement !== null) document.exitPointerLock();
    this.container.blur();
  }

  async #lockPointer(): Promise<void> {
    try {
      await this.container.requestPointerLock();
    } catch (error) {
      // The browser or the person said no: the mouse goes on as it was.
      if (!(error instanceof DOMException)) throw error;
    }
  }
}

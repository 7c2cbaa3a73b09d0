/** The part of the page that changes: one view at a time. A view that holds something closes it when it goes. */
import { button, h } from './dom.ts';
import { errorView, kindOf } from './error-view.ts';

/** A view that holds something. */
export interface Held {
  close(): Promise<void>;
}

/** What is done until the next view is there. */
export interface Turn {
  /** Whether nobody has gone elsewhere meanwhile. */
  readonly isCurrent: boolean;
  /**
   * Says what the page waits for. Where `cancel` is given, there is a button for it.
   *
   * @returns changes the words
   */
  busy(words: string, cancel?: () => void): (words: string) => void;
}

type Actions = (error: unknown) => readonly HTMLElement[];

export class Stage {
  readonly element: HTMLElement;
  readonly #onError: (notice: HTMLElement) => Promise<void>;
  #held: Held | undefined;
  /** Counts views: what was started for an earlier one does not show itself any more. */
  #turn = 0;

  /** @param onError shows what went wrong on the way to a view */
  constructor(element: HTMLElement, onError: (notice: HTMLElement) => Promise<void>) {
    this.element = element;
    this.#onError = onError;
  }

  /** Closes what the present view holds. */
  async leave(): Promise<Turn> {
    const held = this.#held;
    this.#held = undefined;
    document.body.classList.remove('wide');
    this.#turn++;
    const turn = this.#turn;
    await held?.close();
    const isCurrent = (): boolean => turn === this.#turn;
    return {
      get isCurrent() {
        return isCurrent();
      },
      busy: (words, cancel) => {
        const said = h('span', {}, words);
        if (isCurrent()) this.show(busyView(said, cancel));
        return (next) => (said.textContent = next);
      },
    };
  }

  /** @param title of the window. @param held is closed when the next view comes */
  show(view: HTMLElement, title?: string, held?: Held): void {
    this.#held = held;
    this.element.replaceChildren(view);
    if (title !== undefined) document.title = title;
    // A screen reader and the Tab key go on at the top of what is new.
    this.element.focus({ preventScroll: true });
  }

  /** Runs something that shows itself when it is done; until then the page says what it waits for. */
  async guarded(what: string, work: (turn: Turn) => Promise<void>, actions: Actions = () => []): Promise<void> {
    let turn: Turn | undefined;
    try {
      turn = await this.leave();
      turn.busy(`${what}…`);
      await work(turn);
    } catch (error) {
      // Who went elsewhere knows that it was stopped.
      if (turn?.isCurrent === false && kindOf(error) === 'aborted') return;
      await this.fail(error, what, actions(error));
    }
  }

  async fail(error: unknown, what: string, actions: readonly HTMLElement[] = []): Promise<void> {
    await this.#onError(errorView(error, what, actions));
    window.scrollTo({ top: 0 });
  }
}

function busyView(words: HTMLElement, cancel: (() => void) | undefined): HTMLElement {
  return h(
    'div',
    { class: 'busy', role: 'status', 'data-testid': 'busy' },
    h('span', { class: 'spinner', 'aria-hidden': 'true' }),
    words,
    cancel !== undefined && button('Cancel', cancel, { 'data-testid': 'busy-cancel' }),
  );
}

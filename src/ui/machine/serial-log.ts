/** What the guest wrote to its serial port, as text that can be read, searched and copied: without escape sequences. */

/** The log keeps this many characters, its latest. */
const MAX_CHARACTERS = 400_000;
/** It is cut rarely and then by much, because every cut copies. */
const CUT_TO = 300_000;

export class SerialLog {
  readonly #text: Text;
  readonly #decoder = new TextDecoder();
  #begun = '';
  #waiting = '';
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param element gets the text; changes come together, some twenty times a second */
  constructor(element: HTMLElement) {
    this.#text = document.createTextNode('');
    element.replaceChildren(this.#text);
  }

  /** Takes bytes as they come, also in the middle of a character or an escape sequence. */
  write(bytes: Uint8Array): void {
    this.#waiting += this.#decoder.decode(bytes, { stream: true });
    this.#timer ??= setTimeout(() => this.#show(), 50);
  }

  get text(): string {
    return this.#text.data;
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#show();
  }

  #show(): void {
    this.#timer = undefined;
    const { text, begun } = plain(this.#begun + this.#waiting);
    this.#begun = begun;
    this.#waiting = '';
    this.#text.appendData(text);
    if (this.#text.length > MAX_CHARACTERS) this.#text.deleteData(0, this.#text.length - CUT_TO);
  }
}

// CSI: ESC [ parameters, intermediates, one final. OSC: ESC ] up to BEL or ESC \. Others: ESC and one or two.
// oxlint-disable-next-line no-control-regex
const SEQUENCE = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[ -/][0-~]|[0-Z\\^-~])/g;
// oxlint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u0008\u000b-\u001a\u001c-\u001f\u007f]/g;
/** A longer sequence is none: a stray escape must not hold back all that follows. */
const LONGEST_SEQUENCE = 1024;

/** Takes terminal codes out. `begun` is a sequence at the end that is not whole yet. */
export function plain(input: string): { text: string; begun: string } {
  const rest = input.replace(SEQUENCE, '').replace(CONTROL, '');
  const cut = rest.lastIndexOf('\u001b');
  const isBegun = cut >= 0 && rest.length - cut <= LONGEST_SEQUENCE;
  const text = isBegun ? rest.slice(0, cut) : rest;
  return { text: text.replaceAll('\u001b', ''), begun: isBegun ? rest.slice(cut) : '' };
}

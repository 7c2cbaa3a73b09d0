/** The serial terminal: xterm.js with the size of a VT100, and its whole output as plain text below. */
import { Terminal } from '@xterm/xterm';
import { h } from '../parts/dom.ts';
import { SerialLog } from './serial-log.ts';

const COLUMNS = 80;
const ROWS = 24;
const FONT = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace";
/** A monospaced letter is about this much of its font's size wide. */
const LETTER_WIDTH = 0.61;
const SMALLEST_FONT = 7;
const LARGEST_FONT = 14;

export class TerminalView {
  readonly element: HTMLElement;
  readonly log: SerialLog;
  readonly #terminal: Terminal;
  readonly #frame: HTMLElement;
  readonly #observer: ResizeObserver;
  readonly #bytes: number[] = [];
  #scheduled = false;

  /** @param send gets what is typed */
  constructor(send: (text: string) => void) {
    this.#terminal = new Terminal({
      cols: COLUMNS,
      rows: ROWS,
      fontFamily: FONT,
      fontSize: 13,
      scrollback: 5000,
      cursorBlink: false,
      theme: { background: '#0f1214', foreground: '#d7dcdf', cursor: '#6cc5db', selectionBackground: '#2d5560' },
    });
    this.#terminal.onData(send);
    this.#terminal.attachCustomKeyEventHandler((event) => !this.#leaves(event));
    this.#frame = h('div', { class: 'terminal-frame', 'data-testid': 'terminal' });
    const output = h('pre', {
      class: 'log',
      role: 'log',
      'aria-label': 'Serial port output',
      'aria-live': 'off',
      tabindex: 0,
      'data-testid': 'serial-log',
    });
    this.log = new SerialLog(output);
    this.element = h(
      'section',
      { class: 'pane', 'aria-label': 'Serial terminal' },
      h(
        'div',
        { class: 'pane-head' },
        h('h2', {}, 'Serial terminal'),
        h('span', { class: 'muted' }, 'Click and type; ', h('kbd', {}, 'Ctrl Alt G'), ' leaves it'),
      ),
      this.#frame,
      h('details', {}, h('summary', {}, 'Output as text'), output),
    );
    this.#observer = new ResizeObserver(() => this.#fit());
  }

  /** To be called once the element stands on the page: xterm measures letters. */
  open(): void {
    this.#terminal.open(this.#frame);
    this.#terminal.textarea?.setAttribute('aria-label', 'Serial terminal input');
    this.#terminal.textarea?.setAttribute('data-testid', 'terminal-input');
    this.#observer.observe(this.#frame);
    this.#fit();
  }

  focus(): void {
    this.#terminal.focus();
  }

  /** A byte from the guest. Bytes come one by one; they are drawn together. */
  feed(byte: number): void {
    this.#bytes.push(byte);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setTimeout(() => this.#flush(), 8);
  }

  dispose(): void {
    this.#observer.disconnect();
    this.#flush();
    this.log.dispose();
    this.#terminal.dispose();
  }

  #flush(): void {
    this.#scheduled = false;
    const bytes = Uint8Array.from(this.#bytes.splice(0));
    if (bytes.length === 0) return;
    this.log.write(bytes);
    this.#terminal.write(bytes);
  }

  /** The terminal takes Tab and Escape; this is the way out of it by keyboard. */
  #leaves(event: KeyboardEvent): boolean {
    if (!isLeaveKey(event)) return false;
    if (event.type === 'keydown') this.#terminal.blur();
    event.preventDefault();
    return true;
  }

  #fit(): void {
    const inner = this.#frame.clientWidth - 20;
    if (inner <= 0) return;
    const font = Math.floor((inner / COLUMNS / LETTER_WIDTH) * 2) / 2;
    this.#terminal.options.fontSize = Math.max(SMALLEST_FONT, Math.min(LARGEST_FONT, font));
  }
}

/** Ctrl Alt G, as in QEMU's own window. */
export function isLeaveKey(event: KeyboardEvent): boolean {
  return event.ctrlKey && event.altKey && event.code === 'KeyG';
}

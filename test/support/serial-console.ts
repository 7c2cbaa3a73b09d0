/** Between the guest and whoever types: how a console is told where its bytes go. */
export type SendText = (text: string) => void;

interface Waiter {
  readonly marker: string;
  readonly resolve: (text: string) => void;
  readonly reject: (error: Error) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

const defaultTimeoutMs = 120_000;

/**
 * A person at a guest's serial port: reads what the guest writes, waits for words in it, types commands.
 *
 * It knows neither v86 nor QEMU nor a browser: feed it the guest's bytes and give it a function that sends text. What
 * was found is consumed: each wait looks only at what came after the end of the last one.
 */
export class SerialConsole {
  readonly #send: SendText;
  readonly #decoder = new TextDecoder();
  readonly #filter = new EscapeFilter();
  #text = '';
  #position = 0;
  #waiter: Waiter | undefined;
  #closed: string | undefined;

  constructor(send: SendText) {
    this.#send = send;
  }

  /** All that the guest has written, without its escape sequences. */
  get text(): string {
    return this.#text;
  }

  /** Takes what the guest wrote: one byte, several, or text. */
  feed(output: number | Uint8Array | string): void {
    const bytes = typeof output === 'number' ? Uint8Array.of(output) : output;
    const text = typeof bytes === 'string' ? bytes : this.#decoder.decode(bytes, { stream: true });
    this.#text += this.#filter.pass(text);
    this.#look();
  }

  send(text: string): void {
    this.#send(text);
  }

  /**
   * Waits until the guest writes `marker`.
   * @returns what it wrote from the last wait on, up to and with the marker.
   * @throws Error after `timeoutMs` or when the console is closed, with the end of what it wrote; and when another wait
   *   is under way.
   */
  until(marker: string, timeoutMs = defaultTimeoutMs): Promise<string> {
    if (marker === '') return Promise.reject(new Error('A serial console cannot wait for nothing'));
    if (this.#waiter) {
      return Promise.reject(new Error(`The serial console waits for ${JSON.stringify(this.#waiter.marker)} already`));
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#giveUp(`${timeoutMs} ms went by`), timeoutMs);
      this.#waiter = { marker, resolve, reject, timer };
      this.#look();
      if (this.#closed !== undefined) this.#giveUp(this.#closed);
    });
  }

  /**
   * Types a command and waits for the next prompt.
   * @returns what the guest wrote in between, without the echo of the command, carriage returns and the spaces around.
   */
  async command(command: string, prompt: string, timeoutMs = defaultTimeoutMs): Promise<string> {
    const answer = this.until(prompt, timeoutMs);
    this.#send(`${command}\r`);
    const text = (await answer).slice(0, -prompt.length);
    return withoutEcho(text, command).replaceAll('\r', '').trim();
  }

  /** The guest is gone: ends a wait that is under way, and every later one for what it has not written. */
  close(reason: string): void {
    this.#closed ??= reason;
    this.#giveUp(reason);
  }

  #look(): void {
    const waiter = this.#waiter;
    if (!waiter) return;
    const found = this.#text.indexOf(waiter.marker, this.#position);
    if (found < 0) return;
    const end = found + waiter.marker.length;
    const text = this.#text.slice(this.#position, end);
    this.#position = end;
    this.#waiter = undefined;
    clearTimeout(waiter.timer);
    waiter.resolve(text);
  }

  #giveUp(reason: string): void {
    const waiter = this.#waiter;
    if (!waiter) return;
    this.#waiter = undefined;
    clearTimeout(waiter.timer);
    const end = this.#text.slice(this.#position).slice(-2000);
    waiter.reject(
      new Error(`No ${JSON.stringify(waiter.marker)} on the serial port: ${reason}. It ends with:\n${end}`),
    );
  }
}

// CSI: ESC [ parameters, intermediates, one final. OSC: ESC ] up to BEL or ESC \. Others: ESC and one or two.
// Source: ECMA-48, section 5.4, and xterm's control sequences.
// oxlint-disable-next-line no-control-regex
const escapeSequence = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[ -/]+[0-~]|[0-Z\\^-~])/g;
// oxlint-disable-next-line no-control-regex
const unfinishedSequence = /\u001b(?:\[[0-?]*[ -/]*|\][^\u0007\u001b]*\u001b?|[ -/]*)$/;

/** What is longer than this is no sequence that has been cut, but a guest that shows a binary file. */
const sequenceLimit = 256;

/** Takes terminal escape sequences out of a stream, wherever it is cut. */
class EscapeFilter {
  /** The beginning of a sequence whose end has not come yet. */
  #begun = '';

  pass(text: string): string {
    const rest = (this.#begun + text).replace(escapeSequence, '');
    const begun = unfinishedSequence.exec(rest)?.[0] ?? '';
    this.#begun = begun.length > sequenceLimit ? '' : begun;
    return rest.slice(0, rest.length - this.#begun.length);
  }
}

/**
 * Cuts off the command's echo up to its line's end. A terminal breaks a long line where it likes: white space between
 * the echoed letters does not count. Where the guest echoed something else, nothing is cut.
 */
function withoutEcho(text: string, command: string): string {
  let at = 0;
  for (const letter of command.replaceAll(/\s/g, '')) {
    while (/\s/.test(text.charAt(at))) at += 1;
    if (text.charAt(at) !== letter) return text;
    at += 1;
  }
  const lineEnd = text.indexOf('\n', at);
  return lineEnd < 0 ? text.slice(at) : text.slice(lineEnd + 1);
}

/** `-p`: how far a command is, on one line that is written over and over. */
import { BlockError, type Progress } from '../../node/index.ts';
import type { Terminal } from './terminal.ts';

/** Percent between two lines. */
const STEP = 1;

export class ProgressLine implements Progress {
  readonly #terminal: Terminal;
  readonly #stop: AbortSignal | undefined;
  readonly #shown: boolean;
  #last = 0;

  constructor(terminal: Terminal, shown: boolean) {
    this.#terminal = terminal;
    this.#stop = terminal.signal;
    this.#shown = shown;
    this.#print(0);
  }

  /** @throws BlockError `aborted` when the user wants the command to stop */
  report(done: number, total: number): void {
    if (this.#stop?.aborted === true) throw new BlockError('aborted', 'Stopped before the end');
    const percent = total === 0 ? 100 : (done / total) * 100;
    if (percent >= this.#last + STEP && percent < 100) this.#print(percent);
  }

  /** All is done. */
  finish(): void {
    this.#print(100);
  }

  /** Leaves the line, however it ended. */
  end(): void {
    if (this.#shown) this.#terminal.out('\n');
  }

  #print(percent: number): void {
    this.#last = percent;
    if (this.#shown) this.#terminal.out(`    (${hundredths(percent)}/100%)\r`);
  }
}

/** Two digits, a half to the even one, as the C library rounds. */
export function hundredths(value: number): string {
  const scaled = value * 100;
  const low = Math.floor(scaled);
  const up = scaled - low > 0.5 || (scaled - low === 0.5 && low % 2 === 1);
  return ((low + (up ? 1 : 0)) / 100).toFixed(2);
}

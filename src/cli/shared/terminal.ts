const OUTPUT_FAILED = 1;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Where a command prints to. Tests give their own, so that a command runs without a process of its own. */
export interface Terminal {
  /** Prints to stdout, as it is. */
  out(text: string): void;
  /** Prints to stderr, as it is. */
  error(text: string): void;
  /**
   * Set when the user wants the command to stop. Who asks for it says that it looks at it, and cleans up then: until it is asked for,
   * a signal ends the process at once.
   */
  readonly signal?: AbortSignal;
}

/** The terminal of this process. */
export class ProcessTerminal implements Terminal {
  readonly #program: string;
  /** Made when there is something to print: Node takes milliseconds for them, and many commands print nothing. */
  #stdout: NodeJS.WriteStream | undefined;
  #stderr: NodeJS.WriteStream | undefined;
  #stop: AbortController | undefined;
  #caught: NodeJS.Signals | undefined;
  #hasEnded = false;

  /** @param program what messages of its own begin with */
  constructor(program: string) {
    this.#program = program;
    // Something waited for what never comes, and Node has nothing left to do: that is no success.
    process.once('exit', (code) => {
      if (this.#hasEnded || code !== 0) return;
      this.error(`${program}: Ended without a result: what it waited for cannot come any more\n`);
      process.exitCode = OUTPUT_FAILED;
    });
  }

  readonly out = (text: string): void => {
    this.#stdout ??= this.#listened(process.stdout);
    this.#stdout.write(text);
  };

  readonly error = (text: string): void => {
    this.#stderr ??= this.#listened(process.stderr);
    this.#stderr.write(text);
  };

  /**
   * A reader that has gone away is no error, as it is none for qemu-img; what cannot be written for another reason, as on a full disk,
   * is one, which is said once.
   */
  #listened(stream: NodeJS.WriteStream): NodeJS.WriteStream {
    return stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') return;
      if (stream === this.#stdout && process.exitCode !== OUTPUT_FAILED) {
        this.error(`${this.#program}: Could not write to standard output: ${error.message}\n`);
      }
      process.exitCode = OUTPUT_FAILED;
    });
  }

  get signal(): AbortSignal {
    this.#stop ??= this.#catchSignals();
    return this.#stop.signal;
  }

  /** The first asks the command to clean up, the second finds the default and ends the process. */
  #catchSignals(): AbortController {
    const stop = new AbortController();
    const onSignal = (signal: NodeJS.Signals): void => {
      for (const each of SIGNALS) process.removeListener(each, onSignal);
      this.#caught = signal;
      stop.abort(signal);
    };
    for (const signal of SIGNALS) process.on(signal, onSignal);
    return stop;
  }

  /**
   * Ends the process as a signal does that was caught, if one has stopped the command: a script is to see what it was.
   *
   * Else Node ends by itself. `process.exit` is quicker, but can wait for ever for Node's own threads, which wait for it.
   * Source: https://github.com/nodejs/node/issues/54918
   */
  end(code: number): void {
    this.#hasEnded = true;
    process.exitCode ??= code;
    if (code !== 0 && this.#caught !== undefined) process.kill(process.pid, this.#caught);
  }
}

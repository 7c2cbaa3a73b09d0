/** Where a command prints to. Tests give their own, so that a command runs without a process of its own. */
export interface Terminal {
  /** Prints to stdout, as it is. */
  out(text: string): void;
  /** Prints to stderr, as it is. */
  error(text: string): void;
  /** Set when the user wants the command to stop. */
  readonly signal?: AbortSignal;
}

/** The terminal of this process. A reader that has gone away is no error, as it is none for qemu-img. */
export function processTerminal(signal?: AbortSignal): Terminal {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') process.exitCode = 1;
    });
  }
  return {
    out: (text) => void process.stdout.write(text),
    error: (text) => void process.stderr.write(text),
    ...(signal === undefined ? {} : { signal }),
  };
}

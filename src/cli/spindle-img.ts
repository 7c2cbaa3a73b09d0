#!/usr/bin/env node
/** `spindle-img`: the process around the commands. */
import { keepCompiledCode } from './shared/compiled-code.ts';
import { processTerminal } from './shared/terminal.ts';

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  // The first asks the command to clean up, the second finds the default and ends the process.
  process.once(signal, () => {
    stop.abort(signal);
  });
}
keepCompiledCode();

async function main(): Promise<void> {
  // Only now, so that what is compiled of it is kept.
  const { runCommand } = await import('./img/main.ts');
  process.exitCode = await runCommand(process.argv.slice(2), processTerminal(stop.signal));
}

// What it does not catch is a defect: Node prints it and ends with 1.
void main();

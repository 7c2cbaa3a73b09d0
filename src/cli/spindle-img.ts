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
const { runCommand } = await import('./img/main.ts');
process.exitCode = await runCommand(process.argv.slice(2), processTerminal(stop.signal));

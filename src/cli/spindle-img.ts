#!/usr/bin/env node
/** `spindle-img`: the process around the commands. */
import { keepCompiledCode } from './shared/compiled-code.ts';
import { ProcessTerminal } from './shared/terminal.ts';

const terminal = new ProcessTerminal('spindle-img');
keepCompiledCode();

async function main(): Promise<void> {
  // Only now, so that what is compiled of it is kept.
  const { runCommand } = await import('./img/main.ts');
  terminal.end(await runCommand(process.argv.slice(2), terminal));
}

// What it does not catch is a defect: Node prints it and ends with 1.
void main();

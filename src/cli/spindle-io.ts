#!/usr/bin/env node
/** `spindle-io`: the process around the commands. */
import { createInterface } from 'node:readline';
import { keepCompiledCode } from './shared/compiled-code.ts';
import { ProcessTerminal } from './shared/terminal.ts';

async function* typedLines(): AsyncGenerator<string, void> {
  yield* createInterface({ input: process.stdin, terminal: false });
}

async function main(): Promise<void> {
  const { runIo } = await import('./io/main.ts');
  const terminal = new ProcessTerminal('spindle-io');
  terminal.end(await runIo(process.argv.slice(2), terminal, typedLines()));
}

keepCompiledCode();
// What it does not catch is a defect: Node prints it and ends with 1.
void main();

/** The commands of spindle-io, and how a line becomes one. */
import { BlockError } from '../../node/index.ts';
import { Given, parseArguments, type ArgumentWords, type ParsedArguments } from '../shared/arguments.ts';
import { Failure } from '../shared/failure.ts';
import { ownMessage } from '../shared/words.ts';
import { CommandError, isMismatch, QuitRequest, UsageError, type IoCommand } from './command.ts';
import type { IoContext } from './context.ts';
import { abort, breakCommand, removeBreak, resume, sigraise, sleep, waitBreak } from './debug.ts';
import { close, open, reopen } from './file.ts';
import { aioFlush, alloc, discard, flush, info, length, map, truncate } from './image.ts';
import { aioRead, read, readv } from './read.ts';
import { aioWrite, write, writev } from './write.ts';

const quit: IoCommand = {
  name: 'quit',
  aliases: ['q'],
  usage: '',
  summary: 'ends the program',
  words: [0, -1],
  needsImage: false,
  run() {
    throw new QuitRequest();
  },
};

const help: IoCommand = {
  name: 'help',
  aliases: ['?'],
  usage: '[command]',
  summary: 'explains one command, or lists them all',
  words: [0, 1],
  needsImage: false,
  run(context, { operands: [name] }) {
    if (name === undefined) {
      for (const command of commands) context.out(`${usageLine(command)}\n`);
      context.out("\nUse 'help commandname' for extended help.\n");
      return;
    }
    const command = findCommand(name);
    if (command === undefined) {
      throw new CommandError(`command ${name} not found`);
    }
    context.out(`${usageLine(command)}\n${command.help === undefined ? '' : `${command.help}\n`}`);
  },
};

const byName = (a: IoCommand, b: IoCommand): number => (a.name < b.name ? -1 : 1);

export const commands: readonly IoCommand[] = [
  ...[abort, aioFlush, aioRead, aioWrite, alloc, breakCommand, close, discard, flush, help, info, length, map],
  ...[open, quit, read, readv, removeBreak, reopen, resume, sigraise, sleep, truncate, waitBreak, write, writev],
].toSorted(byName);

function findCommand(name: string): IoCommand | undefined {
  return commands.find((command) => command.name === name || command.aliases?.includes(name) === true);
}

function usageLine({ name, usage, summary }: IoCommand): string {
  return `${name} ${usage === '' ? '' : `${usage} `}-- ${summary}`;
}

/** Unknown options, as getopt says it, and the usage. */
class OptionError extends UsageError {
  readonly complaint: string;

  constructor(complaint: string) {
    super();
    this.complaint = complaint;
  }
}

function wordsOf(name: string): ArgumentWords {
  return {
    unknown: (argument, letter) => new OptionError(`${name}: invalid option -- '${letter ?? argument[1] ?? '-'}'`),
    noValue: (_argument, letter) => new OptionError(`${name}: option requires an argument -- '${letter}'`),
  };
}

/**
 * Runs one line. What goes wrong is printed.
 *
 * @returns whether it went well
 * @throws QuitRequest, and Error for defects
 */
export async function runLine(context: IoContext, line: string): Promise<boolean> {
  const [name, ...rest] = line.split(' ').filter((word) => word !== '');
  if (name === undefined) return true;
  const { session } = context;
  const command = findCommand(name);
  const refusal = command === undefined ? `command "${name}" not found` : whyNot(context, command, name, rest.length);
  if (command === undefined || refusal !== undefined) {
    session.terminal.error(`${refusal}\n`);
    return false;
  }
  try {
    if (command.writes === true && context.disk.readOnly) throw new Failure('Block node is read-only');
    const given = new Given(readWords(command, name, rest));
    if (command.operands !== undefined && given.operands.length !== command.operands) throw new UsageError();
    await command.run(context, given);
    return true;
  } catch (error) {
    printFailure(context, command, error);
    return false;
  }
}

/** A command without options takes words as they are, whatever they begin with. */
function readWords({ options }: IoCommand, name: string, words: readonly string[]): ParsedArguments {
  if (options === undefined) return { options: [], operands: words };
  return parseArguments({ short: options, long: {} }, words, wordsOf(name));
}

function whyNot(context: IoContext, { words, needsImage }: IoCommand, name: string, count: number): string | undefined {
  if (needsImage && !context.isOpen) return "no file open, try 'help open'";
  const [least, most] = words;
  if (count >= least && (most < 0 || count <= most)) return undefined;
  const expected =
    most < 0
      ? `at least ${least} arguments`
      : least === most
        ? `${least} arguments`
        : `between ${least} and ${most} arguments`;
  return `bad argument count ${count} to ${name}, expected ${expected}`;
}

function printFailure(context: IoContext, command: IoCommand, error: unknown): void {
  const { terminal } = context.session;
  if (error instanceof UsageError) {
    if (error instanceof OptionError) terminal.error(`${error.complaint}\n`);
    context.out(`${usageLine(command)}\n`);
  } else if (error instanceof CommandError) {
    if (error.message === '' || error.stream === 'none') return;
    if (error.stream === 'error') terminal.error(`${error.message}\n`);
    else context.out(`${error.message}\n`);
  } else if (error instanceof Failure) context.session.report(error.message);
  else if (error instanceof BlockError && !isMismatch(error) && error.kind !== 'internal') {
    context.session.report(ownMessage(error));
  } else throw error;
}

/** Which command it is, and how it ends. */
import { BlockError } from '../../node/index.ts';
import { Given, parseArguments, type ParsedArguments } from '../shared/arguments.ts';
import { Failure, usageError } from '../shared/failure.ts';
import { Session } from '../shared/session.ts';
import type { Terminal } from '../shared/terminal.ts';
import { ownMessage } from '../shared/words.ts';
import type { Command } from './command.ts';
import { amend } from './amend.ts';
import { bench } from './bench.ts';
import { bitmap } from './bitmap.ts';
import { check } from './check.ts';
import { commit } from './commit.ts';
import { compare } from './compare.ts';
import { convert } from './convert.ts';
import { create } from './create.ts';
import { dd } from './dd.ts';
import { helpText, versionText } from './help.ts';
import { info } from './info.ts';
import { map } from './map.ts';
import { measure } from './measure.ts';
import { rebase } from './rebase.ts';
import { resize } from './resize.ts';
import { snapshot } from './snapshot.ts';

const PROGRAM = 'spindle-img';

const commands: Readonly<Record<string, Command>> = {
  amend,
  bench,
  bitmap,
  check,
  commit,
  compare,
  convert,
  create,
  dd,
  info,
  map,
  measure,
  rebase,
  resize,
  snapshot,
};

/**
 * Runs a command line.
 *
 * @param argv without the program's name
 * @returns the exit code
 */
export async function runCommand(argv: readonly string[], terminal: Terminal): Promise<number> {
  const session = new Session(PROGRAM, terminal);
  try {
    return await dispatch(session, argv);
  } catch (error) {
    return reportEnd(session, error);
  } finally {
    await session.closeAll();
  }
}

async function dispatch(session: Session, argv: readonly string[]): Promise<number> {
  const [name, ...rest] = withoutStandardOptions(argv);
  if (name === undefined) throw usageError('Not enough arguments');
  if (name === '-h' || name === '--help') {
    session.out(helpText(session.graph.drivers));
    return 0;
  }
  if (name === '-V' || name === '--version') {
    session.out(versionText());
    return 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    throw usageError(name.startsWith('-') ? `unrecognized option '${name}'` : `Command not found: ${name}`);
  }
  const given = new Given(readArguments(command, rest));
  if (given.has('h')) {
    session.out(helpText(session.graph.drivers));
    return 0;
  }
  for (const definition of given.values('object')) session.addObject(definition);
  return command.run(session, given);
}

function readArguments(command: Command, rest: readonly string[]): ParsedArguments {
  if (command.lastIsOperand !== true) return parseArguments(command.options, rest);
  if (rest.length < 2 && !rest.includes('-h') && !rest.includes('--help')) throw usageError('Not enough arguments');
  if (rest.length < 2) return parseArguments(command.options, rest);
  const { options, operands } = parseArguments(command.options, rest.slice(0, -1));
  return { options, operands: [...operands, rest.at(-1)!] };
}

/** `-T` and `--trace` before the command are QEMU's tracing: there is nothing to trace here. */
function withoutStandardOptions(argv: readonly string[]): readonly string[] {
  const [first, ...rest] = argv;
  if (first === '--') return rest;
  if ((first === '-T' || first === '--trace') && rest.length === 0) {
    throw usageError(`missing argument for option '${first}'`);
  }
  if (first === '-T' || first === '--trace') return withoutStandardOptions(rest.slice(1));
  if (first?.startsWith('--trace=') === true || /^-T./.test(first ?? '')) return withoutStandardOptions(rest);
  return argv;
}

function reportEnd(session: Session, error: unknown): number {
  if (error instanceof Failure) {
    if (error.message !== '') session.report(error.message);
    if (error.hint !== '') session.terminal.error(error.hint);
    for (const line of error.moreMessages) session.report(line);
    if (error.pointsToHelp) session.terminal.error(`Try '${session.program} --help' for more information\n`);
    return error.exitCode;
  }
  if (error instanceof BlockError) {
    session.report(error.kind === 'internal' ? `${error.describe()}\n${error.stack ?? ''}` : ownMessage(error));
    return 1;
  }
  throw error;
}

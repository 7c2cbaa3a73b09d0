/** `spindle-io`: options of the program, and the lines that it runs. */
import { BlockError } from '../../node/index.ts';
import { Given, parseArguments, type ArgumentWords } from '../shared/arguments.ts';
import { Failure } from '../shared/failure.ts';
import { Session } from '../shared/session.ts';
import type { Terminal } from '../shared/terminal.ts';
import { version } from '../shared/version.ts';
import { isMismatch, QuitRequest } from './command.ts';
import { runLine } from './commands.ts';
import { IoContext } from './context.ts';
import { openRequest } from './file.ts';

const PROGRAM = 'spindle-io';
const PROMPT = `${PROGRAM}> `;

const USAGE = `Usage: ${PROGRAM} [OPTIONS]... [-c STRING]... [file]
Reads, writes and examines disk images, request by request

  --object OBJECTDEF   define an object: a 'secret' or a 'throttle-group'
  --image-opts         the file is a string of options
  -c, --cmd STRING     run a command; may be given several times
  -f, --format FMT     the format of the image
  -r, --read-only      only read
  -s, --snapshot       forget everything that is written
  -n, --nocache        short for -t none
  -C, --copy-on-read   keep what is read from the backing file
  -m, --misalign       accepted; there is no direct I/O here
  -k, --native-aio     short for -i native
  -i, --aio=MODE       how I/O is done: threads, native (which needs -n) or io_uring
  -t, --cache=MODE     the cache mode; without it every write is stable when it is answered
  -d, --discard=MODE   what becomes of discards: ignore or unmap
  -T, --trace SPEC     accepted; nothing is traced
  -U, --force-share    others may write meanwhile (with -r)
  -h, --help           print this and exit
  -V, --version        print the version and exit

See '${PROGRAM} -c help' for the commands.
`;

const OPTIONS = {
  short: 'hVc:d:f:rsnCmki:t:T:U',
  long: {
    help: 'h',
    version: 'V',
    cmd: 'c:',
    format: 'f:',
    'read-only': 'r',
    snapshot: 's',
    nocache: 'n',
    'copy-on-read': 'C',
    misalign: 'm',
    'native-aio': 'k',
    aio: 'i:',
    discard: 'd:',
    cache: 't:',
    trace: 'T:',
    'force-share': 'U',
    object: 'object:',
    'image-opts': 'image-opts',
  },
};

/** The usage is printed after the message. */
class Usage extends Failure {}

const words: ArgumentWords = {
  unknown: (argument, letter) =>
    new Usage(letter === undefined ? `unrecognized option '${argument}'` : `invalid option -- '${letter}'`),
  noValue: (argument, letter) =>
    new Usage(
      letter === undefined ? `option '${argument}' requires an argument` : `option requires an argument -- '${letter}'`,
    ),
};

/** Lines that somebody types. Asked for the next one when the last has been run. */
export type Lines = AsyncIterator<string>;

/**
 * Runs the program.
 *
 * @param argv without the program's name
 * @param lines where commands come from if none are given
 * @returns the exit code
 */
export async function runIo(argv: readonly string[], terminal: Terminal, lines: Lines): Promise<number> {
  const session = new Session(PROGRAM, terminal);
  const context = new IoContext(session);
  try {
    return await run(context, argv, lines);
  } catch (error) {
    return reportEnd(session, error);
  } finally {
    await session.closeAll();
  }
}

async function run(context: IoContext, argv: readonly string[], lines: Lines): Promise<number> {
  const { session } = context;
  const given = new Given(parseArguments(OPTIONS, argv, words));
  if (given.has('h')) {
    session.out(USAGE);
    return 0;
  }
  if (given.has('V')) {
    session.out(`${PROGRAM} version ${version}\n`);
    return 0;
  }
  if (given.operands.length > 1) throw new Usage('');
  const imageOpts = given.has('image-opts');
  if (imageOpts && given.has('f')) throw new Failure('--image-opts and -f are mutually exclusive');
  context.imageOpts = imageOpts;
  for (const definition of given.values('object')) session.addObject(definition);
  const path = given.operands[0];
  if (path !== undefined) await context.open(openRequest(given, path, imageOpts));
  const allWell = await runAll(context, given.has('c') ? given.values('c') : undefined, lines);
  await context.close();
  return allWell ? 0 : 1;
}

/** @returns whether every command went well */
async function runAll(context: IoContext, given: readonly string[] | undefined, lines: Lines): Promise<boolean> {
  const source = given === undefined ? prompted(context, lines) : given;
  let allWell = true;
  try {
    for await (const line of source) allWell = (await runLine(context, line)) && allWell;
  } catch (error) {
    if (!(error instanceof QuitRequest)) throw error;
  }
  return allWell;
}

async function* prompted(context: IoContext, lines: Lines): AsyncGenerator<string, void> {
  for (;;) {
    context.out(PROMPT);
    const next = await context.idle(() => lines.next());
    if (next.done === true) return;
    yield next.value;
  }
}

function reportEnd(session: Session, error: unknown): number {
  if (error instanceof Failure) {
    if (error.message !== '') session.report(error.message);
    for (const line of error.moreMessages) session.report(line);
    if (error.hint !== '') session.terminal.error(error.hint);
    if (error instanceof Usage) session.out(USAGE);
    return error.exitCode;
  }
  if (error instanceof BlockError && isMismatch(error)) {
    session.terminal.error(`${error.message}\n`);
    return 1;
  }
  if (error instanceof BlockError) {
    session.report(error.describe());
    return 1;
  }
  throw error;
}

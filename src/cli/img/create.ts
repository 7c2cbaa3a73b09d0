/** `create`: a new, empty image. */
import {
  BlockError,
  makeImage as makeFiles,
  startAsync,
  type CreatedFile,
  type FormatDriver,
} from '../../node/index.ts';
import { createHelp, createValues, formatNamed, formatValues, type CreateValues } from '../shared/create-options.ts';
import { Failure, usageError } from '../shared/failure.ts';
import { asksForHelp } from '../shared/key-values.ts';
import { beside } from '../shared/paths.ts';
import type { Session } from '../shared/session.ts';
import { sizeArgument } from '../shared/sizes.ts';
import { createMessage, openMessage } from '../shared/words.ts';
import type { Given } from '../shared/arguments.ts';
import { optionLists, type Command } from './command.ts';
import { formattingLine } from './create-line.ts';

export const create: Command = {
  options: {
    short: 'F:b:f:ho:qu',
    long: { help: 'h', object: 'object:', quiet: 'q', backing: 'b:', format: 'f:', unsafe: 'u' },
  },
  async run(session, given) {
    const format = given.value('f') ?? 'raw';
    const texts = optionLists(given);
    if (texts.some(asksForHelp)) {
      session.out(createHelp(formatNamed(session.graph.drivers, format), given.operands.length > 0));
      return 0;
    }
    const [filename, sizeText, ...others] = given.operands;
    if (filename === undefined) throw usageError('Expecting image file name');
    const size = sizeText === undefined ? undefined : sizeArgument('image size', sizeText);
    if (others.length > 0) throw usageError(`Unexpected argument: ${others[0]}`);
    await named(filename, async () => {
      await createNamed(session, given, { filename, format, size, texts });
    });
    return 0;
  },
};

/** Puts the image's name before what is reported. */
async function named(filename: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof Failure) throw new Failure(`${filename}: ${error.message}`, error);
    if (error instanceof BlockError && error.kind !== 'internal') {
      throw new Failure(`${filename}: ${createMessage(error, filename)}`);
    }
    throw error;
  }
}

/**
 * The format of a new image, in a file that can be made.
 *
 * @throws Failure, and BlockError for the name of no file
 */
export function creatableFormat(session: Session, format: string, filename: string): FormatDriver {
  const { drivers } = session.graph;
  const isOther = [...drivers.filters, ...drivers.protocols].some(({ name }) => name === format);
  const driver = isOther ? undefined : formatNamed(drivers, format);
  if (driver?.create === undefined) throw new Failure(`Format driver '${format}' does not support image creation`);
  if (filename.startsWith('json:')) throw new Failure("Unknown protocol 'json'");
  const { driver: protocol } = session.fileOptions(filename);
  if (drivers.protocols.find(({ name }) => name === protocol)?.create === undefined) {
    throw new Failure(`Protocol driver '${protocol}' does not support image creation`);
  }
  return driver;
}

interface Request {
  readonly filename: string;
  readonly format: string;
  readonly size: number | undefined;
  readonly texts: readonly string[];
}

async function createNamed(session: Session, given: Given, request: Request): Promise<void> {
  const driver = creatableFormat(session, request.format, request.filename);
  const values = backingValues(driver, given, createValues(driver, request.texts));
  if (request.size !== undefined) {
    if (values['size'] !== undefined) throw new Failure('The image size must be specified only once');
    values['size'] = request.size;
  }
  const backing = await backingSize(session, request.filename, values, given.has('u'));
  if (values['size'] === undefined && backing === undefined) throw new Failure('Image creation needs a size parameter');
  values['size'] ??= backing!;
  if (!given.has('q')) session.out(formattingLine(request.filename, request.format, values));
  await makeImage(session, driver, request.filename, values);
}

interface MakeSettings {
  readonly fileOptions?: Readonly<Record<string, unknown>>;
  /** What the image will be called when it is whole. */
  readonly finalName?: string;
}

/** Makes an image, over what is there. @throws BlockError */
export async function makeImage(
  session: Session,
  driver: FormatDriver,
  filename: string,
  values: CreateValues,
  { fileOptions = {}, finalName }: MakeSettings = {},
): Promise<readonly CreatedFile[]> {
  const file = session.fileOptions(filename);
  if (file.driver === 'file') Object.assign(file, fileOptions);
  const settings = { overwrite: true, filename: finalName };
  const options = { ...formatValues(driver, values), driver: driver.name, file };
  return (await startAsync(makeFiles(session.graph, options, settings))).files;
}

/** `-b` and `-F` are the options `backing_file` and `backing_fmt`. */
function backingValues(driver: FormatDriver, given: Given, values: CreateValues): CreateValues {
  const file = given.value('b');
  const format = given.value('F');
  if (file === undefined && format === undefined) return values;
  if (file === '' && driver.capabilities.backing) throw new Failure('Expected backing file name, got empty string');
  if (!driver.capabilities.backing) {
    throw new Failure(
      file === undefined
        ? `Backing format not supported for file format '${driver.name}'`
        : `Backing file not supported for file format '${driver.name}'`,
    );
  }
  return {
    ...values,
    ...(file === undefined ? {} : { backing_file: file }),
    ...(format === undefined ? {} : { backing_fmt: format }),
  };
}

/** Opens the backing file to see that it is there, and how large it is. */
async function backingSize(
  session: Session,
  filename: string,
  values: CreateValues,
  unsafe: boolean,
): Promise<number | undefined> {
  const { backing_file: name, backing_fmt: format } = values as { backing_file?: string; backing_fmt?: string };
  if (name === undefined || name === '') return undefined;
  if (name === filename) {
    throw new Failure('Error: Trying to create an image with the same filename as the backing file');
  }
  if (unsafe) {
    if (format === undefined) throw new Failure('Backing file specified without backing format');
    return undefined;
  }
  const full = beside(filename, name);
  try {
    const disk = await session.open({ name: full, format }, { readOnly: true, forceShare: true });
    const { length } = disk;
    const found = disk.node.driver.name;
    await session.close(disk);
    if (format === undefined) {
      throw new Failure('Backing file specified without backing format', { hint: `Detected format of ${found}.` });
    }
    return length;
  } catch (error) {
    if (!(error instanceof Failure) || !error.message.startsWith('Could not open')) throw error;
    const inner = error.message.slice(`Could not open '${full}': `.length);
    throw new Failure(inner === '' ? openMessage(error) : inner, { hint: 'Could not open backing image.\n' });
  }
}

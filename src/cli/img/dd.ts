/** `dd`: part of a disk as a new image. */
import { BlockError, copyRange, startAsync, type BlockBackend } from '../../node/index.ts';
import type { Given } from '../shared/arguments.ts';
import { Failure } from '../shared/failure.ts';
import type { Session } from '../shared/session.ts';
import { sizeArgument } from '../shared/sizes.ts';
import { createMessage, requestMessage } from '../shared/words.ts';
import { COMMON_LONG, imageNamed, type Command } from './command.ts';
import { makeImage } from './create.ts';

const INT_MAX = 2_147_483_647;
const STANDARD_BLOCK = 512;

export const dd: Command = {
  options: { short: 'hf:O:U', long: { ...COMMON_LONG, 'force-share': 'U' } },
  async run(session, given) {
    const part = readOperands(given);
    const format = given.value('O') ?? 'raw';
    const source = await session.open(imageNamed(given, part.input, 'f'), {
      readOnly: true,
      forceShare: given.has('U'),
    });
    // The count is of what is read from the start on, what is skipped included.
    const end = Math.min(source.length, part.count * part.blockSize);
    const begin = part.skip * part.blockSize;
    if (begin > end) session.report(`${part.input}: cannot skip to specified offset`);
    const target = await makeTarget(session, part.output, format, Math.max(0, end - begin));
    await copyPart(source, target, begin, Math.max(0, end - begin));
    await session.close(target);
    return 0;
  },
};

interface Part {
  readonly input: string;
  readonly output: string;
  readonly blockSize: number;
  /** Blocks. */
  readonly count: number;
  readonly skip: number;
}

/** @throws Failure in qemu-img's words */
function readOperands(given: Given): Part {
  const values: Record<string, string> = {};
  for (const operand of given.operands) {
    const [name = '', ...value] = operand.split('=');
    if (!['if', 'of', 'bs', 'count', 'skip'].includes(name) || value.length === 0) {
      throw new Failure(`unrecognized operand ${name}`);
    }
    values[name] = value.join('=');
  }
  const { if: input, of: output, bs, count, skip } = values;
  const blockSize = bs === undefined ? STANDARD_BLOCK : sizeArgument('bs', bs, { min: 1, max: INT_MAX });
  const blocks = count === undefined ? Number.MAX_SAFE_INTEGER : sizeArgument('count', count);
  const skipped = skip === undefined ? 0 : sizeArgument('skip', skip);
  if (input === undefined || output === undefined) throw new Failure('Must specify both input and output files');
  return { input, output, blockSize, count: blocks, skip: skipped };
}

async function makeTarget(session: Session, filename: string, format: string, size: number): Promise<BlockBackend> {
  const driver = session.graph.drivers.formats.find(({ name }) => name === format);
  if (driver === undefined) throw new Failure('Unknown file format');
  try {
    await makeImage(session, driver, filename, { size });
  } catch (error) {
    if (!(error instanceof BlockError) || error.kind === 'internal') throw error;
    throw new Failure(`${filename}: error while creating output image: ${createMessage(error, filename)}`);
  }
  return await session.open({ name: filename, format }, { readOnly: false });
}

async function copyPart(source: BlockBackend, target: BlockBackend, begin: number, length: number): Promise<void> {
  if (length === 0) return;
  const settings = { targetIsZero: true, detectZeroes: false, targetOffset: 0 };
  try {
    await startAsync(copyRange(source.node, target, begin, length, settings));
  } catch (error) {
    const side = error instanceof BlockError ? error.context.detail?.['side'] : undefined;
    if (side === undefined) throw error;
    throw new Failure(
      `error while ${side === 'write' ? 'writing to output' : 'reading from input'} image file: ${requestMessage(error)}`,
    );
  }
}

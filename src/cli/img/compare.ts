/** `compare`: whether two images hold the same disk. */
import { BlockError, compareImages, startAsync, type BlockBackend, type CompareResult } from '../../node/index.ts';
import { Failure, usageError } from '../shared/failure.ts';
import { ProgressLine } from '../shared/progress.ts';
import type { ImageName, Session } from '../shared/session.ts';
import { requestMessage } from '../shared/words.ts';
import type { Given } from '../shared/arguments.ts';
import { COMMON_LONG, imageNamed, sourceCache, type Command } from './command.ts';

/** Besides 0 for the same and 1 for different. */
const EXIT = { open: 2, status: 3, read: 4 } as const;

export const compare: Command = {
  options: { short: 'hf:F:T:pqsU', long: { ...COMMON_LONG, 'force-share': 'U' } },
  async run(session, given) {
    const [first, second, ...others] = given.operands;
    if (first === undefined || second === undefined || others.length > 0)
      throw usageError('Expecting two image file names');
    sourceCache(given, EXIT.open);
    const disks = [
      await openOne(session, given, () => imageNamed(given, first, 'f')),
      await openOne(session, given, () => imageNamed(given, second, 'F')),
    ] as const;
    const say = given.has('q') ? () => undefined : (text: string) => session.out(text);
    const progress = new ProgressLine(session.terminal, given.has('p') && !given.has('q'));
    try {
      const result = await runCompare(disks, given, progress, [first, second], say);
      if (result.equal) progress.finish();
      say(resultText(result));
      return result.equal ? 0 : 1;
    } finally {
      progress.end();
    }
  },
};

async function openOne(session: Session, given: Given, image: () => ImageName): Promise<BlockBackend> {
  try {
    return await session.open(image(), { readOnly: true, forceShare: given.has('U') });
  } catch (error) {
    throw error instanceof Failure ? new Failure(error.message, { exitCode: EXIT.open }) : error;
  }
}

async function runCompare(
  [first, second]: readonly [BlockBackend, BlockBackend],
  given: Given,
  progress: ProgressLine,
  names: readonly [string, string],
  say: (text: string) => void,
): Promise<CompareResult> {
  try {
    return await startAsync(
      compareImages(first.node, second.node, {
        strict: given.has('s'),
        progress,
        onSizeMismatch: () => say('Warning: Image size mismatch!\n'),
      }),
    );
  } catch (error) {
    throw readFailure(error, names);
  }
}

function readFailure(error: unknown, names: readonly [string, string]): unknown {
  if (!(error instanceof BlockError) || error.context.detail === undefined) return error;
  const { image, op, offset } = error.context.detail as { image: 0 | 1; op: string; offset: number };
  if (op === 'map') return new Failure(`Sector allocation test failed for ${names[image]}`, { exitCode: EXIT.status });
  const text = `Error while reading offset ${offset} of ${names[image]}: ${requestMessage(error)}`;
  return new Failure(text, { exitCode: EXIT.read });
}

function resultText(result: CompareResult): string {
  if (result.equal) return 'Images are identical.\n';
  switch (result.difference) {
    case 'size':
      return 'Strict mode: Image size mismatch!\n';
    case 'status':
      return `Strict mode: Offset ${result.offset} block status mismatch!\n`;
    case 'content':
      return `Content mismatch at offset ${result.offset}!\n`;
  }
}

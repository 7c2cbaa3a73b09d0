/** `measure`: how large a new image would be. */
import { BlockError, measureImage, startAsync, type BlockBackend, type ImageMeasure } from '../../node/index.ts';
import { createValues, formatNamed, formatValues, type CreateValues } from '../shared/create-options.ts';
import { Failure } from '../shared/failure.ts';
import { prettyJson } from '../shared/json.ts';
import type { Session } from '../shared/session.ts';
import { sizeArgument } from '../shared/sizes.ts';
import { ownMessage, strerror } from '../shared/words.ts';
import type { Given } from '../shared/arguments.ts';
import { COMMON_LONG, imageNamed, loadSnapshot, optionLists, wantsJson, type Command } from './command.ts';

export const measure: Command = {
  options: {
    short: 'hf:l:o:O:U',
    long: { ...COMMON_LONG, output: 'output:', size: 'size:', 'force-share': 'U' },
  },
  async run(session, given) {
    const json = wantsJson(given);
    const sizeText = given.value('size');
    const size = sizeText === undefined ? undefined : sizeArgument('image size', sizeText);
    if (given.operands.length > 1) throw new Failure('At most one filename argument is allowed.');
    const name = given.operands[0];
    if (name === undefined) refuseImageOptions(given);
    if (size === undefined && name === undefined)
      throw new Failure('Either --size N or one filename must be specified.');
    if (size !== undefined && name !== undefined)
      throw new Failure('--size N cannot be used together with a filename.');
    const format = given.value('O') ?? 'raw';
    const texts = optionLists(given);
    const disk = name === undefined ? undefined : await openSource(session, given, name);
    const values = optionsOf(session, format, texts);
    const options = size === undefined ? values : { ...values, size };
    const { required, fullyAllocated, bitmaps } = await measureNew(session, format, options, disk);
    if (json) session.out(`${prettyJson({ required, 'fully-allocated': fullyAllocated, bitmaps })}\n`);
    else {
      session.out(`required size: ${required}\nfully allocated size: ${fullyAllocated}\n`);
      if (bitmaps !== undefined) session.out(`bitmaps size: ${bitmaps}\n`);
    }
    return 0;
  },
};

function refuseImageOptions(given: Given): void {
  for (const key of ['image-opts', 'f', 'l']) {
    if (given.has(key)) throw new Failure('--image-opts, -f, and -l require a filename argument.');
  }
}

async function openSource(session: Session, given: Given, name: string): Promise<BlockBackend> {
  const disk = await session.open(imageNamed(given, name, 'f'), { readOnly: true, forceShare: given.has('U') });
  const snapshot = given.value('l');
  if (snapshot !== undefined) await loadSnapshot(disk, snapshot);
  return disk;
}

function optionsOf(session: Session, format: string, texts: readonly string[]): CreateValues {
  const driver = formatNamed(session.graph.drivers, format);
  try {
    return formatValues(driver, createValues(driver, texts));
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(error.message, {
      hint: error.hint,
      moreMessages: [`Invalid options for file format '${format}'`],
    });
  }
}

async function measureNew(
  session: Session,
  format: string,
  options: CreateValues,
  disk: BlockBackend | undefined,
): Promise<ImageMeasure> {
  try {
    return await startAsync(measureImage(session.graph, format, options, disk?.node));
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    const isRequest = error.kind === 'io' || error.kind === 'no-space';
    throw new Failure(isRequest ? `Unable to get block status: ${strerror(error)}` : ownMessage(error));
  }
}

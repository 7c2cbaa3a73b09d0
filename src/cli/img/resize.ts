/** `resize`: a larger or a smaller disk. */
import type { BlockBackend, Preallocation } from '../../node/index.ts';
import { sizeValue } from '../shared/create-options.ts';
import { Failure, usageError } from '../shared/failure.ts';
import { checkNewSize } from '../shared/sizes.ts';
import { requestMessage } from '../shared/words.ts';
import { COMMON_LONG, imageNamed, type Command } from './command.ts';

const MODES: readonly string[] = ['off', 'metadata', 'falloc', 'full'];
const LOSS =
  "warning: Shrinking an image will delete all data beyond the shrunken image's end. " +
  'Before performing such an operation, make sure there is no important data there.';

export const resize: Command = {
  options: {
    short: 'f:hq',
    long: { ...COMMON_LONG, preallocation: 'preallocation:', shrink: 'shrink' },
  },
  // A size may begin with a dash, so it is taken away before options are looked for.
  lastIsOperand: true,
  async run(session, given) {
    const mode = given.value('preallocation') ?? 'off';
    if (!MODES.includes(mode)) throw new Failure(`Invalid preallocation mode '${mode}'`);
    const [name, sizeText, ...others] = given.operands;
    if (name === undefined || sizeText === undefined || others.length > 0) {
      throw usageError('Expecting image file name and size');
    }
    const { sign, size } = parseSize(sizeText);
    const disk = await session.open(imageNamed(given, name, 'f'), { readOnly: false });
    const wanted = sign === 0 ? size : disk.length + sign * size;
    if (wanted <= 0) throw new Failure('New image size must be positive');
    if (wanted <= disk.length && mode !== 'off') throw new Failure('Preallocation can only be used for growing images');
    if (wanted < disk.length && !given.has('shrink')) {
      throw new Failure('Use the --shrink option to perform a shrink operation.', { moreMessages: [LOSS] });
    }
    checkNewSize(disk.node.driver.name, wanted);
    await change(disk, wanted, mode as Preallocation);
    await session.close(disk);
    if (!given.has('q')) session.out('Image resized.\n');
    return 0;
  },
};

function parseSize(text: string): { readonly sign: -1 | 0 | 1; readonly size: number } {
  const sign = text.startsWith('+') ? 1 : text.startsWith('-') ? -1 : 0;
  return { sign, size: sizeValue('size', sign === 0 ? text : text.slice(1)) };
}

async function change(disk: BlockBackend, size: number, mode: Preallocation): Promise<void> {
  try {
    await disk.resize(size, mode);
  } catch (error) {
    throw new Failure(requestMessage(error));
  }
}

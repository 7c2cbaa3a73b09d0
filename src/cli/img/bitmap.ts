/** `bitmap`: the dirty bitmaps of an image. */
import { BlockError, changeBitmap, startAsync, type BitmapAction, type BlockBackend } from '../../node/index.ts';
import type { Given } from '../shared/arguments.ts';
import { Failure } from '../shared/failure.ts';
import type { Session } from '../shared/session.ts';
import { sizeArgument } from '../shared/sizes.ts';
import { COMMON_LONG, imageNamed, type Command } from './command.ts';

const PLAIN = ['remove', 'clear', 'enable', 'disable'] as const;

export const bitmap: Command = {
  options: {
    short: 'b:f:F:g:h',
    long: {
      ...COMMON_LONG,
      add: 'add',
      remove: 'remove',
      clear: 'clear',
      enable: 'enable',
      disable: 'disable',
      merge: 'merge:',
      'source-file': 'b:',
      'source-format': 'F:',
      granularity: 'g:',
    },
  },
  async run(session, given) {
    const [filename, name, ...others] = given.operands;
    expectAction(given);
    if (filename === undefined || name === undefined || others.length > 0) {
      throw new Failure('Expecting filename and bitmap name');
    }
    checkOptions(given);
    const source = given.value('b');
    // Opened as qemu-img opens it: what the image stands on is not needed.
    const disk = await session.open(imageNamed(given, filename, 'f'), { readOnly: false, backing: null });
    const sourceDisk =
      source === undefined
        ? undefined
        : await session.open({ name: source, format: given.value('F') }, { readOnly: true, backing: null });
    await change(session, disk, name, actionsOf(given, sourceDisk));
    await session.close(disk);
    return 0;
  },
};

/** Formats that keep no bitmaps: qemu-img says less of them. */
const NOT_KEPT =
  /^(Operation .* failed: )Can't make bitmap .*? persistent in .*?: (Can't store persistent bitmaps to .*?): .*$/;

/** @throws Failure in qemu-img's words */
function expectAction(given: Given): void {
  const any = ['add', ...PLAIN, 'merge'].some((action) => given.has(action));
  if (!any) throw new Failure('Need at least one of --add, --remove, --clear, --enable, --disable, or --merge');
}

/** @throws Failure in qemu-img's words */
function checkOptions(given: Given): void {
  if (given.has('g') && !given.has('add')) throw new Failure('granularity only supported with --add');
  if (given.has('F') && !given.has('b')) throw new Failure('-F only supported with -b');
  if (given.has('b') && !given.has('merge')) {
    throw new Failure('Merge bitmap source file only supported with --merge');
  }
}

/** In the order in which they were asked for. */
function actionsOf(given: Given, source: BlockBackend | undefined): BitmapAction[] {
  const granularity = given.value('g');
  return given.all.flatMap(({ key, value }): BitmapAction[] => {
    if (key === 'add') {
      return [
        {
          action: 'add',
          ...(granularity === undefined ? {} : { granularity: sizeArgument('granularity', granularity, { min: 1 }) }),
          ...(given.has('disable') ? { enabled: false } : {}),
        },
      ];
    }
    if (key === 'merge') {
      return [{ action: 'merge', source: value, ...(source === undefined ? {} : { node: source.node }) }];
    }
    const plain = PLAIN.find((action) => action === key);
    return plain === undefined ? [] : [{ action: plain }];
  });
}

async function change(
  session: Session,
  disk: BlockBackend,
  name: string,
  actions: readonly BitmapAction[],
): Promise<void> {
  try {
    await startAsync(changeBitmap(session.graph, disk.node, name, actions));
  } catch (error) {
    if (!(error instanceof BlockError) || error.kind === 'internal') throw error;
    throw new Failure(
      error.message
        .replace(NOT_KEPT, '$1$2: Operation not supported')
        .replace(/(Granularity must be power of 2 and at least 512), and .*/, '$1'),
    );
  }
}

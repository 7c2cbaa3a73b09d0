/** `snapshot`: the snapshots inside an image. */
import {
  applySnapshot,
  BlockError,
  createSnapshot,
  deleteSnapshot,
  listSnapshots,
  startAsync,
  type BlockNode,
} from '../../node/index.ts';
import type { Given } from '../shared/arguments.ts';
import { Failure, usageError } from '../shared/failure.ts';
import { snapshotList } from '../shared/snapshot-list.ts';
import { errnoOf, messageOf, strerror } from '../shared/words.ts';
import { COMMON_LONG, type Command } from './command.ts';

const ACTIONS = ['l', 'a', 'c', 'd'] as const;
type Action = (typeof ACTIONS)[number];

export const snapshot: Command = {
  options: { short: 'la:c:d:hqU', long: { ...COMMON_LONG, 'force-share': 'U' } },
  async run(session, given) {
    const [filename, ...others] = given.operands;
    const asked = given.all.flatMap(({ key }) => ACTIONS.filter((action) => action === key));
    if (asked.length > 1) throw usageError("Cannot mix '-l', '-a', '-c', '-d'");
    if (filename === undefined || others.length > 0) throw usageError('Expecting one image file name');
    const action = asked[0];
    const image = { name: filename, imageOpts: given.has('image-opts') };
    const readOnly = action === undefined || action === 'l';
    const disk = await session.open(image, { readOnly, forceShare: given.has('U') });
    if (action === 'l') {
      const snapshots = listSnapshots(disk.node);
      if (snapshots.length > 0) session.out(`${['Snapshot list:', ...snapshotList(snapshots)].join('\n')}\n`);
    } else if (action !== undefined) await change(disk.node, action, given);
    await session.close(disk);
    return 0;
  },
};

async function change(node: BlockNode, action: Exclude<Action, 'l'>, given: Given): Promise<void> {
  const name = given.value(action)!;
  try {
    if (action === 'c') await startAsync(createSnapshot(node, { name, instructionCount: 0n }));
    else if (action === 'a') await startAsync(applySnapshot(node, name));
    // By its name alone: what is deleted must not be another one that happens to have it as its id.
    else await startAsync(deleteSnapshot(node, { name }));
  } catch (error) {
    if (!(error instanceof BlockError) || error.kind === 'internal') throw error;
    throw new Failure(`Could not ${VERBS[action]} snapshot '${name}': ${reasonOf(error, action)}`);
  }
}

const NO_SNAPSHOTS = {
  a: 'Block driver does not support snapshots',
  c: '-95 (Operation not supported)',
  d: 'snapshot not found',
} as const;

const FAILED = {
  a: (error: BlockError) => `Failed to load snapshot: ${strerror(error)}`,
  c: (error: BlockError) => `-${errnoOf(error)} (${strerror(error)})`,
  d: (error: BlockError) => `Failed to free the cluster and L1 table: ${strerror(error)}`,
} as const;

const VERBS = { a: 'apply', c: 'create', d: 'delete' } as const;

function reasonOf(error: BlockError, action: Exclude<Action, 'l'>): string {
  if (error.kind === 'not-found') {
    return action === 'a' ? 'Failed to load snapshot: No such file or directory' : 'snapshot not found';
  }
  if (error.kind === 'unsupported') return NO_SNAPSHOTS[action];
  if (error.kind === 'io' || error.kind === 'no-space') return FAILED[action](error);
  // What to do about it follows in our words.
  return messageOf(error).replace(/^(Device has active dirty bitmaps): .*$/, '$1');
}

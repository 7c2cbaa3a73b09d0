/** `rebase`: another backing file. */
import { BlockError, copyForRebase, setBackingFile, startAsync, type BlockBackend } from '../../node/index.ts';
import type { Given } from '../shared/arguments.ts';
import { Failure, usageError } from '../shared/failure.ts';
import { beside } from '../shared/paths.ts';
import { ProgressLine } from '../shared/progress.ts';
import type { Session } from '../shared/session.ts';
import { requestMessage } from '../shared/words.ts';
import { COMMON_LONG, onlyImage, sourceCache, targetCache, type Command } from './command.ts';

export const rebase: Command = {
  options: { short: 'hf:F:b:upt:T:qU', long: { ...COMMON_LONG, 'force-share': 'U' } },
  async run(session, given) {
    const image = onlyImage(given);
    const name = given.value('b');
    const unsafe = given.has('u');
    if (!unsafe && name === undefined) {
      throw usageError('Must specify backing file (-b) or use unsafe mode (-u)');
    }
    const cache = targetCache(given, 'writeback');
    sourceCache(given);
    const progress = new ProgressLine(session.terminal, given.has('p') && !given.has('q'));
    try {
      const disk = await session.open(image, { readOnly: false, cache, ...(unsafe ? { backing: null } : {}) });
      expectFormat(session, given.value('F'));
      if (!unsafe) await keepContent(session, given, image.name, disk, name!, progress);
      await change(given, disk, name);
      progress.finish();
      await session.close(disk);
    } finally {
      progress.end();
    }
    return 0;
  },
};

function expectFormat(session: Session, format: string | undefined): void {
  if (format === undefined || session.graph.drivers.formats.some(({ name }) => name === format)) return;
  throw new Failure(`Invalid format name: '${format}'`);
}

async function keepContent(
  session: Session,
  given: Given,
  overlay: string,
  disk: BlockBackend,
  name: string,
  progress: ProgressLine,
): Promise<void> {
  const newBacking = name === '' ? undefined : await openNewBacking(session, given, beside(overlay, name));
  try {
    await startAsync(copyForRebase(disk, newBacking?.node, progress));
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    throw new Failure(`error while rebasing: ${requestMessage(error)}`);
  }
}

async function openNewBacking(session: Session, given: Given, name: string): Promise<BlockBackend> {
  const prefix = `Could not open '${name}': `;
  try {
    return await session.open({ name, format: given.value('F') }, { readOnly: true, forceShare: given.has('U') });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(`Could not open new backing file '${name}': ${error.message.slice(prefix.length)}`);
  }
}

async function change(given: Given, disk: BlockBackend, name: string | undefined): Promise<void> {
  const format = given.value('F');
  const refused = (text: string) => new Failure(`Could not change the backing file to '${name ?? '(null)'}': ${text}`);
  const none = name === undefined || name === '';
  if (!none && format === undefined) throw refused('backing format must be specified');
  try {
    await startAsync(setBackingFile(disk, none ? undefined : { filename: name, format: format! }));
  } catch (error) {
    if (error instanceof BlockError && error.kind === 'unsupported') throw refused('Operation not supported');
    if (error instanceof BlockError && error.kind !== 'internal') throw refused(requestMessage(error));
    throw error;
  }
}

/** `commit`: an overlay's data into what it stands on. */
import { resolve } from 'node:path';
import {
  BlockError,
  canBeEmptied,
  commitImage,
  startAsync,
  type BlockBackend,
  type BlockNode,
} from '../../node/index.ts';
import type { CacheMode } from '../shared/cache-mode.ts';
import { Failure } from '../shared/failure.ts';
import { Pacer } from '../shared/pacer.ts';
import { ProgressLine } from '../shared/progress.ts';
import type { ImageName, Session } from '../shared/session.ts';
import { sizeArgument } from '../shared/sizes.ts';
import { beside } from '../shared/paths.ts';
import { requestMessage } from '../shared/words.ts';
import { COMMON_LONG, onlyImage, targetCache, type Command } from './command.ts';
import { describeChain, type Described } from './info.ts';

export const commit: Command = {
  options: { short: 'f:ht:b:dpqr:', long: { ...COMMON_LONG } },
  async run(session, given) {
    const cache = targetCache(given, 'writeback');
    const image = onlyImage(given);
    const rateText = given.value('r');
    const rate = rateText === undefined ? 0 : sizeArgument('rate limit', rateText);
    const baseName = given.value('b');
    const { top, base } = await openLayers(session, image, baseName, cache);
    const progress = new ProgressLine(session.terminal, given.has('p') && !given.has('q'));
    const pacer = rate > 0 ? new Pacer(rate, session.terminal.signal) : undefined;
    const pace = pacer === undefined ? undefined : (bytes: number) => pacer.wait(bytes);
    try {
      // As qemu-img does: an image of a format that cannot be emptied stays as it is.
      const empty = !given.has('d') && baseName === undefined && canBeEmptied(top.node);
      await startAsync(commitImage(session.graph, top.node, base, { empty, progress, pace }));
      progress.finish();
    } catch (error) {
      throw error instanceof BlockError && error.kind !== 'internal'
        ? new Failure(`Block job failed: ${requestMessage(error)}`)
        : error;
    } finally {
      progress.end();
    }
    await session.close(top);
    if (!given.has('q')) session.out('Image committed.\n');
    return 0;
  },
};

/** The base is open for writing, and the layers from the top down to it stand on that one node. */
async function openLayers(
  session: Session,
  image: ImageName,
  baseName: string | undefined,
  cache: CacheMode,
): Promise<{ readonly top: BlockBackend; readonly base: BlockNode }> {
  // Opened as a whole first: every layer must be there, and messages are about the image that was named.
  await session.close(await session.open(image, { readOnly: false }));
  const chain = await describeChain(session, image, { forceShare: false, chain: true });
  const at = baseName === undefined ? 1 : chain.findIndex((_, index) => index > 0 && isBase(chain, index, baseName));
  if (chain.length < 2 && baseName === undefined) throw new Failure('Image does not have a backing file');
  if (at < 1) throw new Failure(`Did not find '${baseName}' in the backing chain of '${image.name}'`);
  const base = await session.add(chain[at]!.image, { readOnly: false, guessesSilently: true, cache });
  let below = base;
  for (const { image: layer } of chain.slice(1, at).toReversed()) {
    below = await session.add(layer, { readOnly: true, backing: below.nodeName });
  }
  // The format was looked for already, and a warning about it is printed once.
  const named = { ...image, format: image.imageOpts === true ? image.format : chain[0]!.info.format };
  return { top: await session.open(named, { readOnly: false, backing: below.nodeName, cache }), base };
}

/** A layer goes by its path, however that is written, and by the name that the image above it has for it. */
function isBase(chain: readonly Described[], index: number, name: string): boolean {
  const [above, layer] = [chain[index - 1]!, chain[index]!];
  if (layer.image.name === name || above.info['backing-filename'] === name) return true;
  return resolve(beside(above.image.name, name)) === resolve(layer.image.name);
}

/** Which of several files is meant, and opening it with all below it. */
import type { BlockdevOptions, Disk, Spindle } from '../../client/index.ts';
import { chainOptions, FilePool, resolveChain, type Chain } from './chain.ts';
import { sourceKey, type Source } from './source.ts';

/** What a person gave the page to open. */
export interface Opening {
  readonly top: Source;
  readonly pool: FilePool;
  /** Format of the top image where it is told and not guessed. */
  readonly format: string | undefined;
}

export interface OpenedChain {
  readonly chain: Chain;
  /** Undefined while a file is missing. */
  readonly disk: Disk | undefined;
}

export function openingOf(top: Source, format?: string): Opening {
  return { top, pool: new FilePool(), format };
}

/**
 * Images that were dropped together are often one chain: the one that no other one needs is on top.
 *
 * @param sources at least one
 * @throws BlockError when none of them can be read
 */
export async function openingOfSources(spindle: Spindle, sources: readonly Source[]): Promise<Opening> {
  const pool = new FilePool();
  for (const source of sources) pool.add(source);
  if (sources.length === 1) return { top: sources[0]!, pool, format: undefined };
  const chains = await Promise.allSettled(sources.map((source) => resolveChain(spindle, source, pool)));
  const used = new Set<string>();
  for (const result of chains) {
    if (result.status === 'rejected') continue;
    for (const [depth, { source }] of result.value.layers.entries()) {
      if (depth > 0) used.add(sourceKey(source));
      for (const part of Object.values(source.parts ?? {})) used.add(sourceKey(part));
    }
  }
  const top = sources.find((source, index) => !used.has(sourceKey(source)) && chains[index]!.status === 'fulfilled');
  return { top: top ?? sources[0]!, pool, format: undefined };
}

/**
 * Opens a chain read-only, to look inside.
 *
 * @param withoutBase whether a base that is missing is left out, so that what the layers hold can be seen
 * @throws BlockError when an image cannot be read
 */
export async function openChain(spindle: Spindle, opening: Opening, withoutBase: boolean): Promise<OpenedChain> {
  const chain = await resolveChain(spindle, opening.top, opening.pool, opening.format);
  if (chain.missing !== undefined && (!withoutBase || chain.missing.kind === 'parts'))
    return { chain, disk: undefined };
  return { chain, disk: await spindle.open(readOnly(chainOptions(chain.layers, chain.missing))) };
}

export function readOnly(options: BlockdevOptions): BlockdevOptions {
  return { ...options, 'read-only': true };
}

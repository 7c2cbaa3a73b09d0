/** Passphrases that were given since the page was loaded: they are in the worker's memory, here are only the IDs they go by. */
import type { BlockdevOptions, Spindle } from '../../client/index.ts';
import { BlockError } from '../../block/error.ts';
import { askPassphrase } from '../parts/ask-passphrase.ts';
import { sourceKey, sourceName, type Source } from './source.ts';

const secrets = new Map<string, string>();

/** Options that name the passphrase of a source, if one was given. */
export function secretOptions(format: string, source: Source): Readonly<Record<string, unknown>> {
  const id = secrets.get(sourceKey(source));
  if (id === undefined) return {};
  return format === 'luks' ? { 'key-secret': id } : { encrypt: { 'key-secret': id } };
}

/**
 * Asks for the passphrase of an encrypted image until one opens it. Who has given it once is not asked again.
 *
 * @param optionsOf the image alone, with the secret that is known by then
 * @throws BlockError `aborted` when the person gives none
 */
export async function unlock(spindle: Spindle, source: Source, optionsOf: () => BlockdevOptions): Promise<void> {
  const key = sourceKey(source);
  for (let wrong = false; !secrets.has(key); wrong = true) {
    const passphrase = await askPassphrase(sourceName(source), wrong);
    if (passphrase === undefined) throw new BlockError('aborted', `No passphrase was given for ${sourceName(source)}`);
    const id = `passphrase-${crypto.randomUUID()}`;
    await spindle.addSecret(id, passphrase);
    secrets.set(key, id);
    try {
      await using _ = await spindle.open(optionsOf(), { inspect: true });
    } catch (error) {
      secrets.delete(key);
      await spindle.removeSecret(id);
      if (!(error instanceof BlockError) || error.kind !== 'wrong-passphrase') throw error;
    }
  }
}

import type { OpenFlags, Storage } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { readOnlyProtocolError } from '../shared/errors.ts';
import type { HttpEnvironment } from './environment.ts';
import { KeptChunks } from './kept-chunks.ts';
import { absoluteUrl, checkedChunkSize, pageUrl, requesterOptions, shownUrl, type HttpOptions } from './options.ts';
import { lookAt, type FirstLook } from './remote-file.ts';
import { Requester } from './requester.ts';
import { HttpStorage } from './storage.ts';

/**
 * Opens a file on a server, or what is kept of it when the server cannot be reached.
 *
 * @throws BlockError `not-found`, `permission`, `unsupported`, `invalid`, `io`
 */
export async function openHttp(options: HttpOptions, flags: OpenFlags, environment: HttpEnvironment): Promise<Storage> {
  const url = absoluteUrl(options.url, pageUrl());
  if (!flags.readOnly) throw readOnlyProtocolError('http', shownUrl(url.href));
  const chunkBytes = checkedChunkSize(options.chunk_size);
  const requester = new Requester(requesterOptions(options, url), environment);
  const kept = options.keep === undefined ? undefined : await KeptChunks.open(options.keep, url.href, chunkBytes);
  try {
    const look = await lookOrOffline(requester, chunkBytes, kept);
    const identity = look?.identity ?? kept!.identity!;
    kept?.use(identity);
    const cacheBytes = look?.whole === true ? Number.POSITIVE_INFINITY : options.cache_size;
    const storage = new HttpStorage(
      requester,
      { chunkBytes, cacheBytes, readAhead: options.readahead },
      identity,
      kept,
    );
    if (look !== undefined) storage.seed(look, chunkBytes);
    return storage;
  } catch (error) {
    await kept?.close();
    throw error;
  }
}

/** @returns undefined when the server is out of reach and something is kept: every later answer is held against that */
async function lookOrOffline(
  requester: Requester,
  chunkBytes: number,
  kept: KeptChunks | undefined,
): Promise<FirstLook | undefined> {
  if (kept?.identity === undefined) return lookAt(requester, chunkBytes);
  try {
    // Without patience: who is offline shall not wait for a server before seeing what is there.
    return await lookAt(requester, chunkBytes, 0);
  } catch (error) {
    if (error instanceof BlockError && error.kind === 'io') return undefined;
    throw error;
  }
}

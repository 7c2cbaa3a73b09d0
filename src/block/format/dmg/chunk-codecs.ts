/** Compressed chunks, each of which stands for itself. */
import { decompressAdc } from '../../../codec/adc.ts';
import { decompressBzip2 } from '../../../codec/bzip2.ts';
import { decompressLzfse } from '../../../codec/lzfse.ts';
import { decompressXz } from '../../../codec/xz-source.ts';
import { settle, type Co } from '../../co.ts';
import type { Compressor } from '../../compression.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { unwrapZlib } from '../shared/zlib.ts';
import type { Chunk } from './tables.ts';

/**
 * @param output as long as the chunk becomes
 * @throws BlockError `corrupt` when it becomes anything else, and what the storage throws
 */
export function* decodeChunk(file: BlockChild, deflate: Compressor, chunk: Chunk, output: Uint8Array): Co<void> {
  const data = new Uint8Array(chunk.hostLength);
  yield* settle(file.read(chunk.hostOffset, data));
  try {
    const threads = file.synchronous ? undefined : deflate.threads;
    if (chunk.kind === 'zlib') yield* inflate(data, output, threads ?? deflate);
    else if (chunk.kind === 'lzma') yield* decompressXz(data, output);
    else decompress(chunk, data, output);
  } catch (error) {
    if (!(error instanceof BlockError) || error.kind !== 'corrupt') throw error;
    throw new BlockError(
      'corrupt',
      `The chunk at offset ${chunk.guestOffset} is compressed (${chunk.kind}), ${chunk.hostLength} bytes at ` +
        `${chunk.hostOffset} in the file, and cannot be read: ${error.message}`,
      { offset: chunk.guestOffset },
      { cause: error },
    );
  }
}

function decompress({ kind }: Chunk, data: Uint8Array, output: Uint8Array): void {
  if (kind === 'adc') decompressAdc(data, output);
  else if (kind === 'bzip2') decompressBzip2(data, output);
  else decompressLzfse(data, output);
}

function* inflate(
  data: Uint8Array,
  output: Uint8Array,
  { decompress: inflateRaw }: { decompress(data: Uint8Array, output: Uint8Array): void | Promise<void> },
): Co<void> {
  const { deflate, verify } = unwrapZlib(data);
  yield* settle(inflateRaw(deflate, output));
  verify(output);
}

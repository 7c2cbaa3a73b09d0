/** zstd by libzstd in WebAssembly, the same in page, worker and Node. It is loaded when it is first needed. */
import type { Zstd } from '@hpcc-js/wasm-zstd';
import { settle, startAsync, type Co } from '../block/co.ts';
import type { Compressor } from '../block/compression.ts';
import { BlockError } from '../block/error.ts';
import { shorter, wrongStream } from './errors.ts';
import { exactFrame } from './zstd-frame.ts';

let loaded: Compressor | undefined;
let loading: Promise<Compressor> | undefined;

/** @throws BlockError `unsupported` where WebAssembly cannot be run */
export function loadZstd(): Compressor | Promise<Compressor> {
  if (loaded !== undefined) return loaded;
  loading ??= startAsync(load());
  return loading;
}

function* load(): Co<Compressor> {
  try {
    const { Zstd: Library } = yield* settle(import('@hpcc-js/wasm-zstd'));
    loaded = compressorOf(yield* settle(Library.load()));
    return loaded;
  } catch (cause) {
    loading = undefined;
    throw new BlockError(
      'unsupported',
      'The zstd library could not be loaded: is WebAssembly allowed here?',
      {},
      { cause },
    );
  }
}

function compressorOf(library: Zstd): Compressor {
  return {
    decompress(data, output) {
      const frame = exactFrame(data, output.length);
      output.set(decompressFrame(library, frame, output.length));
    },
    compress: (data) => shorter(library.compress(data), data),
  };
}

function decompressFrame(library: Zstd, frame: Uint8Array, size: number): Uint8Array {
  let content: Uint8Array;
  try {
    content = library.decompress(frame);
  } catch (cause) {
    throw wrongStream('zstd', cause instanceof Error ? cause.message : String(cause), cause);
  }
  if (content.length !== size) throw wrongStream('zstd', `it gives ${content.length} bytes instead of ${size}`);
  return content;
}

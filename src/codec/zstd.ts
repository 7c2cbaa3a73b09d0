/** zstd by libzstd in WebAssembly, the same in page, worker and Node. It is loaded when it is first needed. */
import type { Zstd } from '@hpcc-js/wasm-zstd';
import { settle, startAsync, type Co } from '../block/co.ts';
import type { Compressor } from '../block/compression.ts';
import { BlockError } from '../block/error.ts';
import { streamTooShort, wrongStream } from './errors.ts';
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

/** A place in the library's memory. */
interface Place {
  readonly ptr: number;
  readonly size: number;
}

/**
 * What the library is made of. Its public functions copy each result through an array of numbers, which takes thirty times as long
 * as zstd itself. The version is pinned, and the tests of compression fail when another one is made otherwise.
 */
interface Parts {
  readonly _mainModule: {
    malloc(size: number): Place;
    dataToHeap(data: Uint8Array): Place;
    heapView(place: Place): Uint8Array;
    free(place: Place): void;
  };
  readonly _zstdClass: {
    compressBound(size: number): number;
    defaultCLevel(): number;
    compress(to: number, capacity: number, from: number, length: number, level: number): number;
    decompress(to: number, capacity: number, from: number, length: number): number;
    isError(result: number): number;
    getErrorName(result: number): string;
  };
}

function compressorOf(library: Zstd): Compressor {
  const { _mainModule: memory, _zstdClass: zstd } = library as unknown as Parts;
  /** @returns what `work` made of the data, in the library's memory, to be copied before anything else is done there */
  const run = <T>(
    data: Uint8Array,
    capacity: number,
    work: (from: Place, to: Place) => number,
    take: (made: Uint8Array) => T,
  ): T => {
    const from = memory.dataToHeap(data);
    const to = memory.malloc(capacity);
    try {
      const size = work(from, to);
      if (zstd.isError(size) !== 0) throw wrongStream('zstd', zstd.getErrorName(size));
      return take(memory.heapView({ ptr: to.ptr, size }));
    } finally {
      memory.free(to);
      memory.free(from);
    }
  };
  return {
    decompress(data, output) {
      const work = (from: Place, to: Place): number => zstd.decompress(to.ptr, to.size, from.ptr, from.size);
      run(exactFrame(data, output.length), output.length, work, (content) => {
        if (content.length < output.length) throw streamTooShort('zstd', content.length, output.length);
        output.set(content);
      });
    },
    compress(data) {
      const level = zstd.defaultCLevel();
      const work = (from: Place, to: Place): number => zstd.compress(to.ptr, to.size, from.ptr, from.size, level);
      return run(data, zstd.compressBound(data.length), work, (made) =>
        made.length < data.length ? made.slice() : undefined,
      );
    },
  };
}

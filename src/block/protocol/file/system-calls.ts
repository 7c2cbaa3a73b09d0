/**
 * System calls that Node does not offer: where a file has holes, and making them. They are called through koffi, an optional
 * dependency, on Linux; elsewhere, and where it is not installed, there are none.
 *
 * Source: Linux man-pages, lseek(2) ("Seeking file data and holes"), fallocate(2).
 */
import { createRequire } from 'node:module';
import type * as koffiModule from 'koffi';

type Koffi = typeof koffiModule;

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;
const FALLOC_ZERO_RANGE = 16;
const ENXIO = 6;

/** What starts at an offset of a file. Endless where it reaches to the end of the file. */
interface FileRun {
  readonly hole: boolean;
  /** Bytes. */
  readonly length: number;
}

export interface SystemCalls {
  /** The hole or the data at an offset, or undefined when the file system cannot tell. */
  runAt(descriptor: number, offset: number): FileRun | undefined;
  /** Makes a range a hole, which reads as zeroes. @returns whether that was possible; nothing has changed if not */
  punchHole(descriptor: number, offset: number, length: number): boolean;
  /** Makes a range zero and keeps its space. @returns whether that was possible */
  zeroRange(descriptor: number, offset: number, length: number): boolean;
}

let loaded: { readonly calls: SystemCalls | undefined } | undefined;

/** The system calls, or undefined where there are none. Loaded when they are first asked for: that takes milliseconds. */
export function systemCalls(): SystemCalls | undefined {
  loaded ??= { calls: load() };
  return loaded.calls;
}

function load(): SystemCalls | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    return bind(createRequire(import.meta.url)('koffi') as Koffi);
  } catch {
    // It is optional, and there are platforms that it has no binary for.
    return undefined;
  }
}

function bind(koffi: Koffi): SystemCalls {
  const libc = koffi.load(null);
  const lseek = libc.func('int64_t lseek(int, int64_t, int)') as (fd: number, offset: number, whence: number) => number;
  const fallocate = libc.func('int fallocate(int, int, int64_t, int64_t)') as (
    fd: number,
    mode: number,
    offset: number,
    length: number,
  ) => number;
  return {
    runAt(descriptor, offset) {
      const data = lseek(descriptor, offset, SEEK_DATA);
      if (data < 0) return koffi.errno() === ENXIO ? { hole: true, length: Number.MAX_SAFE_INTEGER } : undefined;
      if (data > offset) return { hole: true, length: data - offset };
      const hole = lseek(descriptor, offset, SEEK_HOLE);
      // A file that was cut off meanwhile has neither.
      return hole > offset ? { hole: false, length: hole - offset } : undefined;
    },
    punchHole: (descriptor, offset, length) =>
      length <= 0 || fallocate(descriptor, FALLOC_PUNCH_HOLE + FALLOC_KEEP_SIZE, offset, length) === 0,
    zeroRange: (descriptor, offset, length) =>
      length <= 0 || fallocate(descriptor, FALLOC_ZERO_RANGE + FALLOC_KEEP_SIZE, offset, length) === 0,
  };
}

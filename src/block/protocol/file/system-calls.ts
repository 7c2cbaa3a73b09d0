/**
 * System calls that Node does not offer: where a file has holes, making them, and locks. They are called through koffi, an optional
 * dependency, on Linux; elsewhere, and where it is not installed, there are none.
 *
 * Source: Linux man-pages, lseek(2) ("Seeking file data and holes"), fallocate(2), fcntl(2) ("Open file description locks").
 */
import { createRequire } from 'node:module';
import { endianness } from 'node:os';
import type * as koffiModule from 'koffi';

type Koffi = typeof koffiModule;

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;
const FALLOC_ZERO_RANGE = 16;
const ENXIO = 6;
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
/** `struct flock` of 64-bit Linux: type and whence in 16 bits each, then start and length in 64 from byte 8 on, then a process. */
const FLOCK_BYTES = 32;
const WORD_64 = ['x64', 'arm64', 'riscv64', 'ppc64', 'loong64', 's390x'];

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
  /** Takes a shared lock on one byte of an open file, until it is closed. @returns false where there are no such locks */
  lockByte(descriptor: number, offset: number): boolean;
  /** Whether somebody else, in this process or another, has a lock on a byte. */
  isByteLocked(descriptor: number, offset: number): boolean;
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
    return bind(loadKoffi(createRequire(import.meta.url)));
  } catch {
    // It is optional, and there are platforms that it has no binary for.
    return undefined;
  }
}

/** By way of itself koffi looks for its binary in lists of all platforms, which takes twice as long as all the rest. */
function loadKoffi(require: NodeJS.Require): Koffi {
  try {
    return require(`@koromix/koffi-linux-${process.arch}`) as Koffi;
  } catch {
    // There are installations in which only koffi itself finds it.
    return require('koffi') as Koffi;
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
  const fcntl = libc.func('int fcntl(int, int, ...)') as (fd: number, command: number, ...rest: unknown[]) => number;
  const lock = (descriptor: number, command: number, type: number, offset: number): number | undefined => {
    if (!WORD_64.includes(process.arch)) return undefined;
    const bytes = Buffer.alloc(FLOCK_BYTES);
    const view = new DataView(bytes.buffer, bytes.byteOffset, FLOCK_BYTES);
    const little = endianness() === 'LE';
    view.setInt16(0, type, little);
    view.setBigInt64(8, BigInt(offset), little);
    view.setBigInt64(16, 1n, little);
    if (fcntl(descriptor, command, 'void *', bytes) !== 0) return undefined;
    return view.getInt16(0, little);
  };
  return {
    lockByte: (descriptor, offset) => lock(descriptor, F_OFD_SETLK, F_RDLCK, offset) !== undefined,
    isByteLocked(descriptor, offset) {
      const found = lock(descriptor, F_OFD_GETLK, F_WRLCK, offset);
      return found !== undefined && found !== F_UNLCK;
    },
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

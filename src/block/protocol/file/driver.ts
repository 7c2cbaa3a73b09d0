import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, unlinkSync, type Stats } from 'node:fs';
import { dirname, resolve as resolvePath } from 'node:path';
import type { OpenFlags, ProtocolDriver } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import type { OptionSchema } from '../../options.ts';
import { attempt } from '../shared/attempt.ts';
import { fromSystemError } from './errors.ts';
import { CREATING, lockFile, useOf, type LockingMode } from './locks.ts';
import { FileStorage, type OpenedFile } from './storage.ts';
import { ThreadedFileStorage } from './threaded-storage.ts';
import { FileUsers } from './users.ts';

const PREFIX = 'file:';

const schema = {
  filename: { type: 'string', required: true, help: 'Path of a file or block device' },
  locking: {
    type: 'enum',
    values: ['auto', 'on', 'off'],
    help: 'Whether other processes are kept out, by the locks that QEMU takes too; without it, auto',
  },
  aio: {
    type: 'enum',
    values: ['threads', 'native', 'io_uring'],
    help: 'threads: long reads are carried out by threads, several at a time; else each is done at once, as without it',
  },
} as const satisfies OptionSchema;

/**
 * Makes a file protocol for Node.
 *
 * @param users who has what open; two drivers that share it keep out of each other's way
 */
export function createFileProtocol(users: FileUsers = new FileUsers()): ProtocolDriver<typeof schema> {
  return {
    kind: 'protocol',
    name: 'file',
    options: schema,
    isAvailable: () => true,
    parseFilename: (filename) =>
      filename.startsWith(PREFIX) ? { driver: 'file', filename: filename.slice(PREFIX.length) } : undefined,
    filename: ({ filename }) => filename,
    resolve: (options, reference) => ({ driver: 'file', filename: siblingOf(options.filename, reference) }),
    open: ({ filename, locking = 'auto', aio }, flags) =>
      attempt(() => {
        if (aio === 'native' && flags.direct !== true) {
          throw new BlockError(
            'invalid',
            'aio=native was specified, but it requires cache.direct=on, which was not specified.',
          );
        }
        const Kind = aio === 'threads' ? ThreadedFileStorage : FileStorage;
        return new Kind(openFile(users, filename, locking, flags));
      }),
    create: ({ filename, locking = 'auto' }, size) => attempt(() => createFile(users, filename, locking, size)),
    delete: ({ filename }) => attempt(() => deleteFile(users, filename)),
  };
}

/** Files of the operating system, for Node. */
export const fileProtocol: ProtocolDriver<typeof schema> = /* @__PURE__ */ createFileProtocol();

/** A name of its own is kept as it is given, as QEMU's tools do, so that messages show what was typed. */
function siblingOf(filename: string | undefined, reference: string): string {
  const plain = reference.startsWith(PREFIX) ? reference.slice(PREFIX.length) : reference;
  return filename === undefined ? plain : resolvePath(dirname(filename), plain);
}

function openFile(
  users: FileUsers,
  filename: string,
  locking: LockingMode,
  { readOnly, forceShare = false }: OpenFlags,
): OpenedFile {
  const descriptor = openDescriptor(filename, readOnly ? constants.O_RDONLY : constants.O_RDWR);
  try {
    const stats = fstatSync(descriptor);
    const length = lengthOf(descriptor, stats, filename);
    lockFile(descriptor, filename, useOf(readOnly, forceShare), locking);
    const leave = locking === 'off' ? () => undefined : users.enter(keyOf(stats), filename, readOnly, forceShare);
    return { filename, descriptor, readOnly, length, fixedLength: !stats.isFile(), leave };
  } catch (error) {
    closeSync(descriptor);
    throw fromSystemError(error, { driver: 'file', filename });
  }
}

function createFile(users: FileUsers, filename: string, locking: LockingMode, size: number): void {
  const descriptor = openDescriptor(filename, constants.O_RDWR | constants.O_CREAT);
  let leave: (() => void) | undefined;
  try {
    const stats = fstatSync(descriptor);
    refuseOddities(stats, filename);
    lockFile(descriptor, filename, CREATING, locking);
    leave = users.enter(keyOf(stats), filename, false, false);
    if (stats.isFile()) {
      ftruncateSync(descriptor, 0);
      ftruncateSync(descriptor, size);
    }
  } catch (error) {
    throw fromSystemError(error, { driver: 'file', filename, op: 'create', length: size });
  } finally {
    leave?.();
    closeSync(descriptor);
  }
}

function deleteFile(users: FileUsers, filename: string): void {
  const descriptor = openDescriptor(filename, constants.O_RDONLY);
  let leave: (() => void) | undefined;
  try {
    const stats = fstatSync(descriptor);
    leave = users.enter(keyOf(stats), filename, false, false);
    // The name of a device is not ours to delete: it was there before, and others use it.
    if (stats.isFile()) unlinkSync(filename);
  } catch (error) {
    throw fromSystemError(error, { driver: 'file', filename, op: 'delete' });
  } finally {
    leave?.();
    closeSync(descriptor);
  }
}

function openDescriptor(filename: string, flags: number): number {
  try {
    // Nonblocking, so that a pipe without a writer does not hang; it changes nothing for files and devices.
    return openSync(filename, flags | constants.O_NONBLOCK, 0o644);
  } catch (error) {
    throw fromSystemError(error, { driver: 'file', filename, op: 'open' });
  }
}

function keyOf(stats: Stats): string {
  return `${stats.dev}:${stats.ino}`;
}

/** @throws BlockError `invalid` for folders, pipes and the like */
function lengthOf(descriptor: number, stats: Stats, filename: string): number {
  refuseOddities(stats, filename);
  return stats.isFile() ? stats.size : deviceLength(descriptor);
}

function refuseOddities(stats: Stats, filename: string): void {
  if (stats.isFile() || stats.isBlockDevice()) return;
  const what = stats.isDirectory() ? 'a folder' : 'neither a file nor a block device';
  throw new BlockError('invalid', `It is ${what}, so it cannot be a disk`, { driver: 'file', filename });
}

/** A device's size is where reads end: found by halving, for Node can neither seek nor ask the device. */
function deviceLength(descriptor: number): number {
  const sector = new Uint8Array(512);
  const hasSector = (index: number) => {
    try {
      return readSync(descriptor, sector, 0, sector.length, index * sector.length) > 0;
    } catch {
      // Beyond the end some devices give an error instead of nothing.
      return false;
    }
  };
  let low = 0;
  let high = Math.floor(Number.MAX_SAFE_INTEGER / sector.length);
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    if (hasSector(middle)) low = middle + 1;
    else high = middle;
  }
  return low * sector.length;
}

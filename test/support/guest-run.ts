/** Runs a workload on a disk and on its model at once, one operation after the other or several together. */
import type { MaybePromise } from '../../src/block/co.ts';
import { BlockError } from '../../src/block/error.ts';
import type { DiskModel, PendingChange } from './disk-model.ts';
import { compressibleBytes, patternedBytes } from './random.ts';
import { runSnapshotOperation } from './snapshot-run.ts';
import type { SnapshotReader } from './snapshot-model.ts';
import { type Operation, printOperation, type Verb } from './workload.ts';

/** A disk as a guest uses it. */
export interface GuestDisk {
  /** Bytes. */
  readonly size: number;
  read(offset: number, buffer: Uint8Array): MaybePromise<void>;
  write(offset: number, data: Uint8Array, fua: boolean, compressed?: boolean): MaybePromise<void>;
  writeZeroes(offset: number, length: number, unmap: boolean): MaybePromise<void>;
  discard(offset: number, length: number): MaybePromise<void>;
  flush(): MaybePromise<void>;
  resize(size: number): Promise<void>;
  /** Gives every cluster back. */
  makeEmpty(): Promise<void>;
  /** Missing: the format has none. */
  readonly snapshots?: GuestSnapshots;
  /** Closes it and opens it again; the disk from then on. */
  reopen(): Promise<GuestDisk>;
  close(): Promise<void>;
}

export interface GuestSnapshots extends SnapshotReader {
  create(name: string): Promise<void>;
  apply(name: string): Promise<void>;
  delete(name: string): Promise<void>;
}

export interface GuestRunOptions {
  /** How many operations may be under way together. Those that change the size or reopen always run alone. */
  readonly together?: number;
  /** Decides what an error of an operation means; the default lets it end the run. */
  readonly onError?: (error: unknown, operation: Operation) => void;
}

/**
 * @returns the disk as it is open at the end
 * @throws ModelMismatch when a read shows what the model does not allow; the disk's own errors, unless `onError` takes them
 */
export async function runWorkload(
  disk: GuestDisk,
  model: DiskModel,
  operations: readonly Operation[],
  options: GuestRunOptions = {},
): Promise<GuestDisk> {
  const { together = 1 } = options;
  let current = disk;
  let underWay: Promise<void>[] = [];
  const rest = async (): Promise<void> => {
    const waitedFor = underWay;
    underWay = [];
    const results = await Promise.allSettled(waitedFor);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  };
  for (const operation of operations) {
    const alone = ALONE.has(operation.verb);
    if (alone || underWay.length >= together) await rest();
    if (operation.verb === 'reopen') {
      current = await reopen(current, model, operation, options);
    } else if (operation.verb === 'snapshot' || operation.verb === 'apply' || operation.verb === 'delete') {
      const { onError = throwUnlessRefused } = options;
      await guarded(operation, { ...options, onError }, () => runSnapshotOperation(current, model, operation));
    } else {
      const task = perform(current, model, operation, options);
      if (alone || together === 1) await task;
      else underWay.push(task);
    }
  }
  await rest();
  return current;
}

/** Counts of a few bits hold only so many snapshots. */
function throwUnlessRefused(error: unknown): void {
  if (!(error instanceof BlockError) || error.kind !== 'unsupported') throw error;
}

const ALONE: ReadonlySet<Verb> = new Set(['reopen', 'resize', 'empty', 'snapshot', 'apply', 'delete']);

async function reopen(
  disk: GuestDisk,
  model: DiskModel,
  operation: Operation,
  options: GuestRunOptions,
): Promise<GuestDisk> {
  const flushed = model.flush();
  const reopened = await guarded(operation, options, () => disk.reopen());
  if (reopened !== undefined) flushed.succeeded();
  else model.lostUnflushed();
  return reopened ?? disk;
}

async function perform(
  disk: GuestDisk,
  model: DiskModel,
  operation: Operation,
  options: GuestRunOptions,
): Promise<void> {
  if (operation.verb === 'read') {
    await guarded(operation, options, () => verifiedRead(disk, model, operation.offset, operation.length));
    return;
  }
  const pending = beginInModel(model, operation, disk.size);
  if (pending === undefined) return;
  let done = false;
  try {
    await guarded(operation, options, async () => {
      await performOn(disk, operation);
      done = true;
    });
  } finally {
    if (done) pending.succeeded();
    else pending.failed();
  }
}

/** Reads and compares with the model. */
export async function verifiedRead(disk: GuestDisk, model: DiskModel, offset: number, length: number): Promise<void> {
  const end = Math.min(offset + length, disk.size);
  if (end <= offset) return;
  const since = model.beginRead();
  const buffer = new Uint8Array(end - offset).fill(0xa5);
  await disk.read(offset, buffer);
  model.verifyRead(offset, buffer, since);
}

/** What a write writes: its own pattern. */
export function writtenBytes({ id, verb, offset, length }: Extract<Operation, { verb: 'write' | 'compress' }>) {
  return verb === 'compress' ? compressibleBytes(id, offset, length) : patternedBytes(id, offset, length);
}

/** @returns undefined for what falls outside of the disk since an operation before it was dropped or failed */
function beginInModel(model: DiskModel, operation: Operation, size: number): PendingChange | undefined {
  const label = `operation ${operation.id}: ${printOperation(operation)}`;
  if ('offset' in operation && operation.offset + operation.length > size) return undefined;
  switch (operation.verb) {
    case 'write':
    case 'compress':
      return model.write(operation.offset, writtenBytes(operation), label);
    case 'zero':
      return model.writeZeroes(operation.offset, operation.length, label);
    case 'discard':
      return model.discard(operation.offset, operation.length, label);
    case 'resize':
      return model.resize(operation.size, label);
    case 'empty':
      return model.makeEmpty(size, label);
    case 'flush':
    case 'reopen':
    case 'read':
    case 'snapshot':
    case 'apply':
    case 'delete':
      return model.flush();
  }
}

async function performOn(disk: GuestDisk, operation: Operation): Promise<void> {
  switch (operation.verb) {
    case 'write':
    case 'compress': {
      const data = writtenBytes(operation).slice();
      return await disk.write(operation.offset, data, operation.fua, operation.verb === 'compress');
    }
    case 'zero':
      return await disk.writeZeroes(operation.offset, operation.length, operation.unmap);
    case 'discard':
      return await disk.discard(operation.offset, operation.length);
    case 'resize':
      return await disk.resize(operation.size);
    case 'empty':
      return await disk.makeEmpty();
    case 'flush':
      return await disk.flush();
    case 'read':
    case 'reopen':
    case 'snapshot':
    case 'apply':
    case 'delete':
      throw new Error(`'${operation.verb}' is no change`);
  }
}

async function guarded<T>(
  operation: Operation,
  options: GuestRunOptions,
  task: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await task();
  } catch (error) {
    if (options.onError === undefined || (error instanceof Error && error.name === 'ModelMismatch')) throw error;
    options.onError(error, operation);
    return undefined;
  }
}

/** Carries out a workload's operations on snapshots, on a disk and on its model. */
import { BlockError } from '../../src/block/error.ts';
import type { DiskModel } from './disk-model.ts';
import type { GuestDisk } from './guest-run.ts';
import { ModelMismatch } from './model-mismatch.ts';
import { printOperation, type Operation } from './workload.ts';

type SnapshotOperation = Extract<Operation, { readonly verb: 'snapshot' | 'apply' | 'delete' }>;

/** @throws ModelMismatch, and what the disk throws */
export async function runSnapshotOperation(
  disk: GuestDisk,
  model: DiskModel,
  operation: SnapshotOperation,
): Promise<void> {
  const { snapshots } = disk;
  if (snapshots === undefined) return;
  if (operation.verb === 'snapshot') return create(disk, model, `snapshot-${operation.id}`);
  const names = snapshots.names();
  const name = names[operation.which % Math.max(1, names.length)];
  if (name === undefined) return;
  if (operation.verb === 'apply') return apply(disk, model, name, printOperation(operation));
  const flushed = model.flush();
  const gone = model.snapshots.delete(name);
  await snapshots.delete(name);
  gone();
  flushed.succeeded();
}

async function create(disk: GuestDisk, model: DiskModel, name: string): Promise<void> {
  const content = await wholeDisk(disk, model);
  const flushed = model.flush();
  const there = model.snapshots.create(name, content);
  try {
    await disk.snapshots!.create(name);
  } catch (error) {
    if (error instanceof BlockError && error.kind === 'unsupported') {
      // Nothing has changed then.
      if (disk.snapshots!.names().includes(name)) throw new ModelMismatch(`'${name}' is there and was refused`);
      model.snapshots.refused(name);
    }
    throw error;
  }
  there();
  flushed.succeeded();
}

async function wholeDisk(disk: GuestDisk, model: DiskModel): Promise<Uint8Array> {
  const since = model.beginRead();
  const content = new Uint8Array(disk.size);
  await disk.read(0, content);
  model.verifyRead(0, content, since);
  return content;
}

async function apply(disk: GuestDisk, model: DiskModel, name: string, label: string): Promise<void> {
  const content = model.snapshots.content(name);
  // What was written before is lost with the rest of the disk, or it is not: the application decides that at one moment.
  const before = model.flush();
  const resized = content.length === disk.size ? undefined : model.resize(content.length, label);
  const written = model.write(0, content, label);
  try {
    await disk.snapshots!.apply(name);
  } catch (error) {
    resized?.failed();
    written.failed();
    throw error;
  }
  resized?.succeeded();
  written.succeeded();
  before.succeeded();
  model.flush().succeeded();
}

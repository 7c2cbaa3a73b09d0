/** Guest operations on a disk, several together, of which Node hears one by one: what it has heard of counts when it kills us. */
import { BlockError, type Disk } from '../../src/client/index.ts';
import { patternedBytes } from '../../test/support/random.ts';
import type { Operation } from '../../test/support/workload.ts';

/** @param together how many may be on their way at once */
export async function doWork(disk: Disk, operations: readonly Operation[], together: number): Promise<void> {
  const underWay = new Set<Promise<void>>();
  for (const operation of operations) {
    if (underWay.size >= together) await Promise.race(underWay);
    await workEvent({ id: operation.id, state: 'begun' });
    const task = perform(disk, operation).finally(() => underWay.delete(task));
    underWay.add(task);
  }
  await Promise.all(underWay);
}

async function perform(disk: Disk, operation: Operation): Promise<void> {
  const { id } = operation;
  try {
    await performOn(disk, operation);
  } catch (error) {
    await workEvent({ id, state: 'failed', kind: error instanceof BlockError ? error.kind : String(error) });
    return;
  }
  await workEvent({ id, state: 'done' });
}

async function performOn(disk: Disk, operation: Operation): Promise<void> {
  switch (operation.verb) {
    case 'write':
      await disk.write(operation.offset, patternedBytes(operation.id, operation.offset, operation.length));
      return;
    case 'zero':
      await disk.writeZeroes(operation.offset, operation.length);
      return;
    case 'discard':
      await disk.discard(operation.offset, operation.length);
      return;
    case 'flush':
      await disk.flush();
      return;
    case 'read':
      await disk.read(operation.offset, operation.length);
      return;
    case 'compress':
    case 'resize':
    case 'reopen':
    case 'empty':
    case 'snapshot':
    case 'apply':
    case 'delete':
      throw new Error(`The page does no '${operation.verb}'`);
  }
}

/** Small qcow2 files made by hand, for tests of what no program writes. */
import { start } from '../../src/block/co.ts';
import { create } from '../../src/block/format/qcow2/create.ts';
import { createOptions } from '../../src/block/format/qcow2/create-options.ts';
import { parseOptions } from '../../src/block/options.ts';
import { bareCreateContext } from './driver-contexts.ts';
import { SimulatedStorage } from './simulated-storage.ts';
import { StorageChild } from './storage-child.ts';

/** Makes an image with this project's `create`. @param given options with qemu-img's names */
export async function createQcow2(given: Readonly<Record<string, unknown>>): Promise<Uint8Array> {
  const storage = new SimulatedStorage();
  await start(
    create(new StorageChild(storage, 0), parseOptions(createOptions, given, "format 'qcow2'"), bareCreateContext),
  );
  return storage.content.toBytes();
}

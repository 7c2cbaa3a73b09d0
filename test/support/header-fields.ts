/** Damaged header fields: each must be refused by its name. */
import { expect } from 'vitest';
import type { FormatDriver } from '../../src/block/driver.ts';
import { BlockError } from '../../src/block/error.ts';
import { openDisk } from './scenario.ts';
import { SimulatedStorage } from './simulated-storage.ts';

/** Opens an image read-only. @returns the error that refuses it, or undefined */
export async function refusal(driver: FormatDriver, image: Uint8Array): Promise<BlockError | undefined> {
  const storage = new SimulatedStorage({ initial: image, readOnly: true });
  try {
    const { graph, disk } = await openDisk(driver, storage, { 'read-only': true, backing: null });
    await graph.close(disk);
    return undefined;
  } catch (error) {
    if (error instanceof BlockError) return error;
    throw error;
  }
}

/** @param change damages a copy of the image. @throws unless it is refused, with the words */
export async function expectRefused(
  driver: FormatDriver,
  image: Uint8Array,
  change: (view: DataView) => void,
  words: string | RegExp,
): Promise<void> {
  const damaged = image.slice();
  change(new DataView(damaged.buffer, damaged.byteOffset, damaged.byteLength));
  const error = await refusal(driver, damaged);
  expect(error?.message).toMatch(words);
  expect(['corrupt', 'unsupported']).toContain(error?.kind);
}

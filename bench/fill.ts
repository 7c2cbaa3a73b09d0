import type { BlockBackend } from '../src/block/graph/backend.ts';

/** Bytes that no detector takes for zeroes or for anything that compresses well. */
export function pattern(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = 1;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

/** Writes all of a disk, so that every cluster is allocated. */
export function fillDisk(disk: BlockBackend): void {
  const data = pattern(2 ** 20);
  for (let offset = 0; offset < disk.length; offset += data.length) {
    disk.writeSync(offset, data.subarray(0, Math.min(data.length, disk.length - offset)));
  }
  disk.flushSync();
}

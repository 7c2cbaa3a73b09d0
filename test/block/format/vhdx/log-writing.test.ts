// Changes of the table go through the log: in which order things reach the disk, and what a log holds when the power goes.
import { expect, it } from 'vitest';
import { BlockError } from '../../../../src/block/error.ts';
import { vhdx } from '../../../../src/block/format/vhdx/driver.ts';
import { LastingStorage, makeImage, openDisk } from '../../../support/scenario.ts';
import type { LogEvent } from '../../../support/simulated-storage.ts';
import { BAT, DATA, HEADERS, LOG, METADATA, MiB, VhdxFile } from '../../../support/vhdx-file.ts';

/** What a write or flush is about, in a word. */
function wordFor(event: LogEvent): string | undefined {
  if (event.kind === 'flush-begin') return 'flush';
  if (event.kind !== 'begin') return undefined;
  const { change } = event;
  if (change.kind === 'truncate') return 'longer';
  if (change.offset >= DATA) return 'data';
  if (change.offset >= BAT) return 'table';
  return change.offset >= LOG && change.offset < METADATA ? 'log' : 'header';
}

function words(log: readonly LogEvent[]): string[] {
  return log.flatMap((event) => wordFor(event) ?? []);
}

const sector = (value: number): Uint8Array => new Uint8Array(512).fill(value);
const bothHeaders = ['header', 'flush', 'header', 'flush'];

it('data is stable before the log has its place, and the log before the table', async () => {
  const storage = new LastingStorage({ initial: (await VhdxFile.create({ block_state_zero: 'off' })).bytes });
  const { graph, disk } = await openDisk(vhdx, storage);
  await disk.write(0, sector(1));
  await disk.flush();
  expect(words(storage.log.splice(0))).toEqual(
    [bothHeaders, 'longer', 'data', 'flush', 'log', 'flush', bothHeaders, 'table', 'flush'].flat(),
  );
  await disk.write(512, sector(2));
  await disk.flush();
  expect(words(storage.log.splice(0))).toEqual(['data', 'flush']);
  await disk.write(MiB, sector(3));
  await disk.flush();
  expect(words(storage.log.splice(0))).toEqual(['longer', 'data', 'flush', 'log', 'flush', 'table', 'flush']);
  await graph.close(disk);
  expect(words(storage.log)).toEqual(bothHeaders);
});

/** The power goes when the table is written. */
class NoTable extends LastingStorage {
  fails = false;

  override write(offset: number, data: Uint8Array): ReturnType<LastingStorage['write']> {
    if (this.fails && offset >= BAT && offset < DATA) throw new BlockError('io', 'no table is written');
    return super.write(offset, data);
  }
}

// One block in each of so many sectors of the table. An entry of the log takes 126 of them, then another one begins.
it.each([126, 130])('a table that did not get to the disk is in the log: %i sectors', async (pieces) => {
  const step = 512 * MiB;
  const size = pieces * step;
  const storage = new NoTable({ initial: await makeImage(vhdx, { size, block_size: MiB, block_state_zero: 'off' }) });
  const { graph, disk } = await openDisk(vhdx, storage);
  for (let piece = 0; piece < pieces; piece++) {
    storage.fails = piece === pieces - 1;
    await disk.write(piece * step, sector(piece + 1));
  }
  await expect((async () => disk.flush())()).rejects.toThrow('no table is written');
  await expect(graph.close(disk)).rejects.toThrow('no table is written');
  // The header leads to the log.
  const header = new Uint8Array(4096);
  storage.content.read(HEADERS[1], header);
  expect(header.subarray(48, 64).some((byte) => byte !== 0)).toBe(true);

  const after = new LastingStorage({ initial: storage.content });
  const again = await openDisk(vhdx, after);
  for (let piece = 0; piece < pieces; piece++) {
    const found = new Uint8Array(512);
    await again.disk.read(piece * step, found);
    if (found.some((byte) => byte !== piece + 1)) throw new Error(`piece ${piece} is ${found[0]}`);
  }
  await again.graph.close(again.disk);
});

it('a place whose write failed is used again, as zeroes', async () => {
  class NoData extends LastingStorage {
    fails = false;

    override write(offset: number, data: Uint8Array): ReturnType<LastingStorage['write']> {
      if (!this.fails || offset < DATA) return super.write(offset, data);
      // Half of it arrives.
      void super.write(offset, data.subarray(0, data.length / 2));
      throw new BlockError('io', 'half of it is written');
    }
  }
  const storage = new NoData({ initial: (await VhdxFile.create()).bytes });
  const { graph, disk } = await openDisk(vhdx, storage);
  storage.fails = true;
  await expect((async () => disk.write(4096, sector(1)))()).rejects.toThrow('half of it');
  storage.fails = false;
  await disk.write(MiB + 512, sector(2));
  await graph.close(disk);
  expect(storage.content.length).toBe(DATA + MiB);
  const again = await openDisk(vhdx, storage, { 'read-only': true });
  const found = new Uint8Array(8192);
  await again.disk.read(MiB, found);
  expect(found.filter((byte) => byte !== 0)).toEqual(sector(2));
  await again.graph.close(again.disk);
});

// No program of Debian's makes differencing VHDs: these are made by hand, after the specification.
import { describe, expect, it } from 'vitest';
import { raw } from '../../../../src/block/format/raw/driver.ts';
import { vpc } from '../../../../src/block/format/vpc/driver.ts';
import { checksum } from '../../../../src/block/format/vpc/footer.ts';
import { DYNAMIC, FOOTER, TYPE_DIFFERENCING } from '../../../../src/block/format/vpc/layout.ts';
import { BlockGraph } from '../../../../src/block/graph/graph.ts';
import { givenProtocol } from '../../../support/given-storage.ts';
import { equalBytes, patternedBytes } from '../../../support/random.ts';
import { LastingStorage, makeImage, openDisk } from '../../../support/scenario.ts';
import { SimulatedStorage } from '../../../support/simulated-storage.ts';

const SIZE = 4 * 2 ** 20;
const BLOCK = 2 * 2 ** 20;
/** Where a small dynamic disk of two blocks has its first block. */
const FIRST_BLOCK = 2048;
const LOCATOR_AT = 512 + DYNAMIC.parentLocators;

async function written(offset: number, id: number, length: number): Promise<Uint8Array> {
  const storage = new LastingStorage({ initial: await makeImage(vpc, { size: SIZE, force_size: 'on' }) });
  const { graph, disk } = await openDisk(vpc, storage);
  await disk.write(offset, patternedBytes(id, offset, length).slice());
  await graph.close(disk);
  return storage.content.toBytes();
}

/** Makes a dynamic disk a differencing one over a parent, holding only the sectors that its map names. */
function makeChild(child: Uint8Array, parent: Uint8Array, here: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(child.length + 512);
  bytes.set(child);
  const view = new DataView(bytes.buffer);
  view.setUint32(FOOTER.diskType, TYPE_DIFFERENCING);
  view.setUint32(FOOTER.checksum, checksum(bytes.subarray(0, 512), FOOTER.checksum));
  const name = new Uint8Array(new Uint16Array(Array.from('.\\parent.vhd', (letter) => letter.charCodeAt(0))).buffer);
  bytes.set(name, child.length);
  bytes.set(new TextEncoder().encode('W2ru'), LOCATOR_AT);
  view.setUint32(LOCATOR_AT + 8, name.length);
  view.setBigUint64(LOCATOR_AT + 16, BigInt(child.length));
  bytes.set(parent.subarray(FOOTER.uuid, FOOTER.uuid + 16), 512 + DYNAMIC.parentUuid);
  view.setUint32(512 + DYNAMIC.checksum, checksum(bytes.subarray(512, 512 + 1024), DYNAMIC.checksum));
  bytes.fill(0, FIRST_BLOCK, FIRST_BLOCK + 512);
  for (const sector of here) bytes[FIRST_BLOCK + Math.floor(sector / 8)]! |= 0x80 >> (sector % 8);
  return bytes;
}

function graphOf(child: Uint8Array, parent: Uint8Array): BlockGraph {
  const storages = new Map([
    ['child', new SimulatedStorage({ initial: child, readOnly: true })],
    ['parent.vhd', new SimulatedStorage({ initial: parent, readOnly: true })],
  ]);
  const protocols = [givenProtocol(storages)];
  return new BlockGraph({ protocols, formats: [vpc, raw], filters: [], defaultProtocol: 'given' });
}

const file = { driver: 'given', name: 'child' };
const allow = { references: () => true } as const;

describe('a differencing VHD', () => {
  it('reads its own sectors, and the parent for the others, found by its relative name through the gate', async () => {
    const parent = await written(0, 1, SIZE);
    const child = makeChild(await written(0, 2, BLOCK), parent, [0, 3, 9, 4095]);
    const graph = graphOf(child, parent);
    const disk = await graph.open({ driver: 'vpc', file, 'read-only': true }, allow);
    const found = new Uint8Array(SIZE);
    await disk.read(0, found);
    for (let sector = 0; sector < SIZE / 512; sector++) {
      const id = [0, 3, 9, 4095].includes(sector) ? 2 : 1;
      const at = sector * 512;
      if (!equalBytes(found.subarray(at, at + 512), patternedBytes(id, at, 512))) throw new Error(`sector ${sector}`);
    }
    await graph.close(disk);
  });

  it('is not opened over a parent that is another disk', async () => {
    const parent = await written(0, 1, SIZE);
    const child = makeChild(await written(0, 2, BLOCK), parent, [0]);
    const graph = graphOf(child, await written(0, 1, SIZE));
    await expect(graph.open({ driver: 'vpc', file, 'read-only': true }, allow)).rejects.toMatchObject({
      kind: 'base-changed',
    });
  });

  it('names its parent when the gate is shut, and is not opened for writing', async () => {
    const parent = await written(0, 1, SIZE);
    const child = makeChild(await written(0, 2, BLOCK), parent, [0]);
    const graph = graphOf(child, parent);
    await expect(graph.open({ driver: 'vpc', file, 'read-only': true })).rejects.toMatchObject({
      kind: 'denied',
      message: expect.stringContaining("'parent.vhd'") as string,
    });
    const writable = new SimulatedStorage({ initial: child });
    await expect(openDisk(vpc, writable)).rejects.toMatchObject({ kind: 'unsupported' });
  });
});

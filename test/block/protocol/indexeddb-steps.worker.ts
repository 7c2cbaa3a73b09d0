// Steps of tests over several tabs and quotas: a Node test calls them in its order.
import type { Storage } from '../../../src/block/driver.ts';
import { BlockError } from '../../../src/block/error.ts';
import { parseOptions } from '../../../src/block/options.ts';
import { indexedDbProtocol } from '../../../src/block/protocol/indexeddb/driver.ts';
import { readBytes } from '../../conformance/storage-fixture.ts';
import { check, failsWith, same, sameBytes, untilFree } from '../../support/check.ts';
import { patternedBytes } from '../../support/random.ts';
import { caseList, serveCases } from '../../support/worker-cases.ts';

const MIB = 2 ** 20;
const optionsOf = (name: string) =>
  parseOptions(indexedDbProtocol.options, { name, dirty_size: 4 * MIB, cache_size: 4 * MIB }, 'indexeddb');
const open = (name: string) => indexedDbProtocol.open(optionsOf(name), { readOnly: false });
const { cases, register } = caseList();

let growing: Storage | undefined;
/** Bytes that a flush has promised, and those that were written. */
let flushed = 0;
let written = 0;

register('write and flush until nothing fits', async () => {
  await indexedDbProtocol.create!(optionsOf('full'), 0);
  growing = await open('full');
  for (; written < 100 * MIB; flushed = written) {
    await growing.write(written, patternedBytes(1, written, MIB));
    written += MIB;
    try {
      await growing.flush();
    } catch (error) {
      check(error instanceof BlockError && error.kind === 'no-space', String(error));
      return;
    }
  }
  throw new Error('everything fitted');
});

register('what was written is still there to read, and more is refused before memory fills up', async () => {
  check(flushed >= MIB && written > flushed, `${flushed} bytes were flushed, ${written} written`);
  await failsWith('no-space', () => growing!.flush(), 'another flush');
  for (let refused = false; !refused;) {
    check(written - flushed < 10 * MIB, 'writes without room are refused');
    try {
      await growing!.write(written, patternedBytes(1, written, MIB));
      written += MIB;
    } catch (error) {
      check(error instanceof BlockError && error.kind === 'no-space', String(error));
      refused = true;
    }
  }
  same(await growing!.getLength(), written, 'length');
  sameBytes(await readBytes(growing!, 0, written), patternedBytes(1, 0, written), 'content');
});

register('with room again everything is stored', async () => {
  await growing!.flush();
  await growing!.close();
  growing = await open('full');
  same(await growing.getLength(), written, 'length');
  sameBytes(await readBytes(growing, 0, written), patternedBytes(1, 0, written), 'content');
  await growing.close();
  await indexedDbProtocol.delete!(optionsOf('full'));
});

register('hold the disk', async () => {
  await indexedDbProtocol.create!(optionsOf('held'), 1000);
  const storage = await open('held');
  await storage.write(0, new Uint8Array(10).fill(1));
  await storage.flush();
  await storage.write(0, new Uint8Array(10).fill(2));
});

register('the disk is in use', async () => {
  await failsWith('busy', () => open('held'), 'second writer');
  await failsWith('busy', () => indexedDbProtocol.delete!(optionsOf('held')), 'delete');
});

register('wait for the disk', async () => {
  await untilFree(async () => {
    const storage = await open('held');
    sameBytes(await readBytes(storage, 0, 10), new Uint8Array(10).fill(1), 'what was flushed');
    await storage.close();
  });
});

serveCases(cases);

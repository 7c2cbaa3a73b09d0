// Steps of tests over several tabs and quotas: a Node test calls them in its order.
import type { Storage } from '../../../src/block/driver.ts';
import { BlockError } from '../../../src/block/error.ts';
import { opfsProtocol } from '../../../src/block/protocol/opfs/driver.ts';
import { readBytes } from '../../conformance/storage-fixture.ts';
import { check, failsWith, same, sameBytes, untilFree } from '../../support/check.ts';
import { patternedBytes } from '../../support/random.ts';
import { caseList, serveCases } from '../../support/worker-cases.ts';

const MIB = 2 ** 20;
const disk = { path: 'steps/held.img' };
const full = { path: 'steps/full.img' };
const { cases, register } = caseList();

let growing: Storage | undefined;
let acknowledged = 0;

register('write until nothing fits', async () => {
  await opfsProtocol.create!(full, 0);
  growing = await opfsProtocol.open(full, { readOnly: false });
  for (; acknowledged < 100 * MIB; acknowledged += MIB) {
    const data = patternedBytes(1, acknowledged, MIB);
    try {
      await growing.write(acknowledged, data);
    } catch (error) {
      check(error instanceof BlockError && error.kind === 'no-space', String(error));
      check(error.context.offset === acknowledged, 'the error says where');
      same(await growing.getLength(), acknowledged, 'length after the failed write');
      return;
    }
  }
  throw new Error('everything fitted');
});

register('what was acknowledged is there', async () => {
  check(acknowledged >= MIB, 'something fitted');
  await growing!.write(100, new Uint8Array(0));
  await growing!.write(512, patternedBytes(1, 512, 512));
  await growing!.flush();
  sameBytes(await readBytes(growing!, 0, acknowledged), patternedBytes(1, 0, acknowledged), 'before closing');
  await growing!.close();
  growing = await opfsProtocol.open(full, { readOnly: false });
  same(await growing.getLength(), acknowledged, 'length');
  sameBytes(await readBytes(growing, 0, acknowledged), patternedBytes(1, 0, acknowledged), 'after opening again');
});

register('write on', async () => {
  await growing!.write(acknowledged, patternedBytes(1, acknowledged, 20 * MIB));
  await growing!.flush();
  await growing!.close();
  await opfsProtocol.delete!(full);
});

register('hold the disk', async () => {
  await opfsProtocol.create!(disk, 1000);
  await opfsProtocol.open(disk, { readOnly: false });
});

register('the disk is in use', async () => {
  const error = await failsWith('busy', () => opfsProtocol.open(disk, { readOnly: false }), 'second writer');
  check(error.message.includes('tab'), `it says who: ${error.message}`);
  await failsWith('busy', () => opfsProtocol.open(disk, { readOnly: true }), 'reader');
  await failsWith('busy', () => opfsProtocol.delete!(disk), 'delete');
  await failsWith('busy', () => opfsProtocol.create!(disk, 5), 'create');
});

register('wait for the disk', async () => {
  await untilFree(async () => {
    const storage = await opfsProtocol.open(disk, { readOnly: false });
    same(await storage.getLength(), 1000, 'length');
    await storage.close();
  });
});

serveCases(cases);

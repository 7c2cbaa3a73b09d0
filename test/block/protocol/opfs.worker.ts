// The cases of the opfs protocol, in the only place where it opens files.
import { opfsProtocol } from '../../../src/block/protocol/opfs/driver.ts';
import { deleteFile, listFiles, openFile, renameFile } from '../../../src/block/protocol/opfs/folder.ts';
import { FileUnderTest, readBytes, type WritableFixture } from '../../conformance/storage-fixture.ts';
import { registerWritableSuite } from '../../conformance/storage-suite.ts';
import { check, failsWith, same, sameBytes } from '../../support/check.ts';
import { patternedBytes } from '../../support/random.ts';
import { caseList, serveCases } from '../../support/worker-cases.ts';

const onDisk = new URLSearchParams(globalThis.location.search).has('on-disk');
const folder = `test-${crypto.randomUUID()}`;
let files = 0;

const fixture: WritableFixture = {
  driver: opfsProtocol,
  synchronous: true,
  chunkBytes: 65536,
  // A private window, which is what the test runner opens, holds files of 2 GiB at most.
  farOffset: onDisk ? 2 ** 33 + 512 : 2 ** 30,
  fresh: (label) => ({ path: `${folder}/${label}/${files++}.img` }),
};
const fileAt = (path: string) => new FileUnderTest(fixture, { path: `${folder}/${path}` });

const { cases, register } = caseList();
registerWritableSuite(fixture, register);

register('the driver is available in a worker', async () => {
  same(opfsProtocol.isAvailable(), true, 'isAvailable');
});

register('files are listed, renamed, downloaded and deleted by path', async () => {
  const made = fileAt('library/deep/a.img');
  await made.create(1000);
  await made.use(async (storage) => {
    await storage.write(0, patternedBytes(1, 0, 1000));
    await failsWith('busy', () => renameFile(`${folder}/library/deep/a.img`, `${folder}/b.img`), 'rename while open');
  });
  await fileAt('library/c.img').create(5);
  const names = (await listFiles(`${folder}/library`)).map(({ path, size }) => `${path} ${size}`);
  same(names.join(), `${folder}/library/c.img 5,${folder}/library/deep/a.img 1000`, 'list');
  await failsWith('exists', () => renameFile(`${folder}/library/deep/a.img`, `${folder}/library/c.img`), 'rename onto');
  await renameFile(`${folder}/library/deep/a.img`, `${folder}/library/new/d.img`);
  const file = await openFile(`${folder}/library/new/d.img`);
  sameBytes(new Uint8Array(await file.arrayBuffer()), patternedBytes(1, 0, 1000), 'download');
  await deleteFile(`${folder}/library/new/d.img`);
  await failsWith('not-found', () => openFile(`${folder}/library/new/d.img`), 'open after delete');
  same((await listFiles(`${folder}/nowhere`)).length, 0, 'a folder that is not there');
});

register('names that lead elsewhere are refused', async () => {
  for (const path of ['', '/', 'a//b', '../a', 'a/..', './a', 'a/']) {
    const bad = new FileUnderTest(fixture, { path });
    await failsWith('invalid', () => bad.open(), `open '${path}'`);
    await failsWith('invalid', () => bad.create(1), `create '${path}'`);
  }
  await fileAt('folder/file').create(1);
  await failsWith('invalid', () => fileAt('folder').open(), 'a folder');
  await failsWith('invalid', () => fileAt('folder/file/below').open(), 'a file as a folder');
});

register('one lock guards a path however it is spelt', async () => {
  await fileAt('spelt.img').create(10);
  const slash = new FileUnderTest(fixture, { path: `/${folder}/spelt.img` });
  await fileAt('spelt.img').use(async () => {
    const error = await failsWith('busy', () => slash.open(), 'second writer');
    check(error.message.includes('writes to'), `who holds it: ${error.message}`);
    check(Array.isArray(error.context.detail?.['holders']), 'the holders are told');
  });
});

register('the identity is that of the file until it is written', async () => {
  const made = fileAt('identity.img');
  await made.create(10);
  const identity = () => made.use(async (storage) => storage.identity!(), true);
  const before = await identity();
  check(before?.lastModifiedMs !== undefined, 'it has a time');
  await made.use(async (storage) => storage.read(0, new Uint8Array(10)));
  same((await identity())?.lastModifiedMs, before.lastModifiedMs, 'opening for writing alone changes nothing');
  await made.use(async (storage) => {
    await storage.write(0, new Uint8Array(1));
    same((await storage.identity!())?.lastModifiedMs, undefined, 'after a write the time is not known');
  });
});

register('a file that was cut behind its back is an error, not zeroes', async () => {
  const made = fileAt('cut.img');
  await made.create(1000);
  const handle = await (
    await navigator.storage.getDirectory()
  )
    .getDirectoryHandle(folder)
    .then((found) => found.getFileHandle('cut.img'));
  const storage = await made.open(true);
  const writer = await handle.createWritable().catch(() => undefined);
  if (writer !== undefined) {
    await writer.truncate(10);
    await writer.close();
    await failsWith('io', () => storage.read(0, new Uint8Array(1000)), 'read');
  }
  await storage.close();
});

register('a size that cannot be had is no-space, and the old content stays', async () => {
  const made = fileAt('huge.img');
  await failsWith('no-space', () => made.create(2 ** 43), 'create');
  await failsWith('not-found', () => made.open(), 'a file that was not made');
  await made.create(1000);
  await made.use(async (storage) => {
    await storage.write(0, patternedBytes(2, 0, 1000));
    await failsWith('no-space', () => storage.truncate(2 ** 43), 'truncate');
    await failsWith('no-space', () => storage.write(2 ** 43, new Uint8Array(512)), 'write');
    await failsWith('no-space', () => storage.writeZeroes!(2 ** 43, 512, false), 'zeroes');
    same(await storage.getLength(), 1000, 'length');
    await storage.flush();
  });
  await made.use(async (storage) => {
    same(await storage.getLength(), 1000, 'length after opening again');
    sameBytes(await readBytes(storage, 0, 1000), patternedBytes(2, 0, 1000), 'content');
  });
});

register('clean up', async () => {
  await (await navigator.storage.getDirectory()).removeEntry(folder, { recursive: true });
});

serveCases(cases);

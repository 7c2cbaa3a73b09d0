/** Images that the tables of command lines are about, made by QEMU's tools. */
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { qemuImg, qemuIo } from './qemu.ts';

const CLUSTER = 65_536;

function damage(path: string, offset: number, bytes: readonly number[]): void {
  const descriptor = openSync(path, 'r+');
  writeSync(descriptor, Uint8Array.from(bytes), 0, bytes.length, offset);
  closeSync(descriptor);
}

/** Fills a folder. Names say what is special about an image. */
export async function makeCliFixture(folder: string): Promise<void> {
  const file = (name: string) => join(folder, name);
  const create = (name: string, ...args: string[]) =>
    qemuImg('create', '-q', ...args.slice(0, -1), file(name), args.at(-1)!);
  await create('empty.qcow2', '-f', 'qcow2', '1M');
  await create('empty.raw', '-f', 'raw', '1M');
  await create('data.raw', '-f', 'raw', '2M');
  await qemuIo(file('data.raw'), 'raw', 'write -P 1 0 64k', 'write -P 2 1M 200k', 'write -P 0 1536k 64k');
  await create('data.qcow2', '-f', 'qcow2', '2M');
  await qemuIo(
    file('data.qcow2'),
    'qcow2',
    'write -P 1 0 64k',
    'write -P 2 1M 200k',
    'write -z 512k 64k',
    'write -P 0 1536k 64k',
  );
  await create('small.qcow2', '-f', 'qcow2', '-o', 'cluster_size=4k,refcount_bits=8,lazy_refcounts=on', '300k');
  await qemuIo(file('small.qcow2'), 'qcow2', 'write -P 7 10k 20k', 'write -P 8 200k 30k');
  await create('old.qcow2', '-f', 'qcow2', '-o', 'compat=0.10', '1M');
  await create('base.qcow2', '-f', 'qcow2', '2M');
  await qemuIo(file('base.qcow2'), 'qcow2', 'write -P 3 0 256k', 'write -P 4 1M 256k');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', file('mid.qcow2'));
  await qemuIo(file('mid.qcow2'), 'qcow2', 'write -P 5 64k 64k', 'write -z 1M 64k');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', 'mid.qcow2', '-F', 'qcow2', file('top.qcow2'), '3M');
  await qemuIo(file('top.qcow2'), 'qcow2', 'write -P 6 128k 64k', 'write -P 9 2560k 64k');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', 'data.raw', '-F', 'raw', file('onraw.qcow2'));
  await qemuIo(file('onraw.qcow2'), 'qcow2', 'write -P 5 64k 64k');
  await qemuImg('create', '-q', '-u', '-f', 'qcow2', '-b', 'nowhere.qcow2', '-F', 'qcow2', file('orphan.qcow2'), '1M');
  await qemuImg('create', '-q', '-u', '-f', 'qcow2', '-b', 'orphan.qcow2', '-F', 'qcow2', file('orphan2.qcow2'), '1M');
  await qemuImg('create', '-q', '-u', '-f', 'qcow2', '-b', 'loop.qcow2', '-F', 'qcow2', file('loop2.qcow2'), '1M');
  await qemuImg('create', '-q', '-u', '-f', 'qcow2', '-b', 'loop2.qcow2', '-F', 'qcow2', file('loop.qcow2'), '1M');
  await create('sparse.qcow2', '-f', 'qcow2', '-o', 'preallocation=metadata', '20M');
  await qemuIo(file('sparse.qcow2'), 'qcow2', 'write -P 1 1M 3M');
  await create('packed.qcow2', '-f', 'qcow2', '2M');
  await qemuIo(file('packed.qcow2'), 'qcow2', 'write -c -P 1 0 64k', 'write -P 2 1M 200k', 'write -c -P 9 1536k 64k');
  for (const name of ['leak.qcow2', 'corrupt.qcow2']) {
    await create(name, '-f', 'qcow2', '1M');
    await qemuIo(file(name), 'qcow2', 'write -P 1 0 64k', 'write -P 2 512k 64k');
  }
  // The first refcount block is the third cluster: the data cluster counted twice, and a cluster behind it that is nobody's.
  damage(file('leak.qcow2'), 2 * CLUSTER + 2 * 7, [0, 1]);
  damage(file('corrupt.qcow2'), 2 * CLUSTER + 2 * 5, [0, 0]);
  writeFileSync(file('text.txt'), 'not an image\n');
  writeFileSync(file('nothing'), '');
}

/** Images of every format that QEMU's tools can make, beside those of `makeCliFixture`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeCliFixture } from './cli-fixture.ts';
import { spindleImg } from './cli-table.ts';
import { qemuImg, qemuIo } from './qemu.ts';

/** Name, format, and options of creation. */
const IMAGES: readonly (readonly [name: string, format: string, options?: string])[] = [
  ['x.vdi', 'vdi'],
  ['static.vdi', 'vdi', 'static=on'],
  ['x.qed', 'qed', 'cluster_size=4k,table_size=2'],
  ['x.vmdk', 'vmdk'],
  ['x.vpc', 'vpc', 'force_size=on'],
  ['fixed.vpc', 'vpc', 'subformat=fixed,force_size=on'],
  ['x.vhdx', 'vhdx'],
  ['x.qcow', 'qcow'],
  ['x.hds', 'parallels', 'cluster_size=64k'],
  ['sub.qcow2', 'qcow2', 'extended_l2=on,cluster_size=64k'],
  ['zstd.qcow2', 'qcow2', 'compression_type=zstd'],
];

/** Whole clusters: what they leave out of a cluster would be a hole of the file, which only some formats look at. */
const WRITES = ['write -q -P 1 0 64k', 'write -q -P 2 1M 128k'];

/** Fills a folder. */
export async function makeFormatsFixture(folder: string): Promise<void> {
  await makeCliFixture(folder);
  const file = (name: string) => join(folder, name);
  for (const [name, format, options] of IMAGES) {
    const given = options === undefined ? [] : ['-o', options];
    await qemuImg('create', '-q', '-f', format, ...given, file(name), '2M');
    await qemuIo(file(name), format, ...WRITES);
  }
  await qemuImg('create', '-q', '-f', 'qcow2', file('snap.qcow2'), '2M');
  await qemuIo(file('snap.qcow2'), 'qcow2', ...WRITES);
  await qemuImg('snapshot', '-c', 'one', file('snap.qcow2'));
  await qemuIo(file('snap.qcow2'), 'qcow2', 'write -q -P 5 0 128k');
  await qemuImg('snapshot', '-c', 'two', file('snap.qcow2'));
  await qemuImg('create', '-q', '-f', 'qcow2', file('reserved.qcow2'), '2M');
  await qemuIo(file('reserved.qcow2'), 'qcow2', 'write -q -P 1 0 512k', 'write -q -z 64k 128k', 'write -q -z 384k 64k');
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'extended_l2=on', file('parts.qcow2'), '2M');
  await qemuIo(file('parts.qcow2'), 'qcow2', 'write -q -P 1 4k 4k', 'write -q -P 1 100k 200k', 'write -q -z 150k 20k');
  await qemuImg(
    ...['create', '-q', '-f', 'qcow2', '-o', 'extended_l2=on', '-b', 'parts.qcow2', '-F', 'qcow2'],
    file('onparts.qcow2'),
  );
  await qemuIo(file('onparts.qcow2'), 'qcow2', 'write -q -P 2 130k 4k', 'write -q -z 200k 6k');
  await qemuImg('create', '-q', '-f', 'qcow2', file('bits.qcow2'), '2M');
  await qemuImg('bitmap', '--add', file('bits.qcow2'), 'b0');
  await qemuImg('bitmap', '--add', '-g', '4k', '--disable', file('bits.qcow2'), 'b1');
  await qemuIo(file('bits.qcow2'), 'qcow2', ...WRITES);
  await makeLuksImage(file('x.luks'));
  await qemuImg('create', '-q', '-f', 'qcow', '-b', 'base.qcow2', '-F', 'qcow2', file('on.qcow'));
  await qemuImg('create', '-q', '-f', 'qed', '-b', 'data.raw', '-F', 'raw', file('on.qed'));
  // Its backing file has no format in the header: it is guessed, to be raw.
  for (const name of ['onguess.qcow2', 'trap.qcow2']) {
    await qemuImg('create', '-q', '-f', 'qcow2', '-b', 'data.raw', '-F', 'raw', file(name));
  }
  await qemuIo(file('onguess.qcow2'), 'qcow2', 'write -q -P 5 512 64k');
  await qemuIo(file('trap.qcow2'), 'qcow2', `write -q -s ${file('empty.qcow2')} 0 64k`);
  for (const name of ['onguess.qcow2', 'trap.qcow2']) forgetBackingFormat(file(name));
  writeFileSync(file('rules.conf'), '[inject-error]\nevent = "write_aio"\nerrno = "28"\nonce = "on"\n');
}

/** An encrypted disk of 2 MiB. With our own tool: QEMU's spends seconds on how many rounds a passphrase is worth. */
export async function makeLuksImage(path: string): Promise<void> {
  const secret = ['--object', 'secret,id=s,data=abc', '-o', 'key-secret=s,iter-time=1'];
  const { code, stderr } = await spindleImg('create', '-q', '-f', 'luks', ...secret, path, '2M');
  if (code !== 0) throw new Error(`spindle-img create: ${stderr}`);
}

/** Source: qcow2 specification, "Header extensions": 0xe2792aca is the name of the backing file's format, 0 is the last of all. */
function forgetBackingFormat(path: string): void {
  const bytes = readFileSync(path);
  const at = bytes.indexOf(Buffer.from('e2792aca', 'hex'));
  if (at < 0) throw new Error(`${path} has no backing file format`);
  bytes.writeUInt32BE(0, at);
  writeFileSync(path, bytes);
}

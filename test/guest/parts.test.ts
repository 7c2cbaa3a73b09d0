import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { busyboxLinks, busyboxPrograms } from '../../scripts/guest/busybox.ts';
import { findModules, inLoadOrder, withoutSignature } from '../../scripts/guest/kernel-modules.ts';
import { withLock } from '../../scripts/guest/lock.ts';

const folders: string[] = [];

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'spindle-guest-'));
  folders.push(folder);
  return folder;
}

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function module(depends: string): Buffer {
  return Buffer.from(`\u007fELF\0license=GPL\0depends=${depends}\0name=x\0`, 'latin1');
}

function signed(bytes: Buffer, signatureLength: number): Buffer {
  const information = Buffer.alloc(12);
  information.writeUInt32BE(signatureLength, 8);
  const magic = Buffer.from('~Module signature appended~\n');
  return Buffer.concat([bytes, Buffer.alloc(signatureLength, 0x5a), information, magic]);
}

describe('kernel modules', () => {
  test('each comes behind what it needs, once, without its signature', () => {
    const folder = temporaryFolder();
    const files = { ext4: 'jbd2,mbcache', jbd2: 'crc-base', mbcache: '', 'crc-base': '', unused: '' };
    for (const [name, depends] of Object.entries(files)) {
      writeFileSync(join(folder, `${name}.ko`), signed(module(depends), 300));
    }
    const order = inLoadOrder(findModules(folder), ['ext4', 'mbcache']);
    expect(order.map(({ name }) => name)).toEqual(['crc_base', 'jbd2', 'mbcache', 'ext4']);
    expect(order.at(-1)?.bytes).toEqual(module('jbd2,mbcache'));
  });

  test('one that the kernel does not have is named', () => {
    expect(() => inLoadOrder(findModules(temporaryFolder()), ['sd-mod'])).toThrow('no module sd_mod');
  });

  test('a module without a signature stays as it is', () => {
    expect(withoutSignature(module(''))).toEqual(module(''));
  });
});

describe('busybox', () => {
  const binary = (names: string): Buffer =>
    Buffer.from(`code\0[\0[[\0${names.replaceAll(' ', '\0')}\0\0more\0`, 'latin1');

  test('its programs are read from its binary', () => {
    expect([...busyboxPrograms(binary('ash cat'))]).toEqual(['[', '[[', 'ash', 'cat']);
    expect(() => busyboxPrograms(Buffer.from('no such list'))).toThrow('list of programs');
  });

  test('one that the guest needs and that is missing is named', () => {
    expect(() => busyboxLinks(binary('ash cat'))).toThrow(/no sh, .*fallocate.*losetup/);
  });
});

describe('lock', () => {
  test('the second waits for the first, also after a failure', async () => {
    const file = join(temporaryFolder(), 'cache', 'lock');
    const failed = withLock(file, () => {
      throw new Error('no network');
    });
    await expect(failed).rejects.toThrow('no network');
    writeFileSync(file, String(process.ppid));
    let ran = false;
    const waiting = withLock(file, () => (ran = true));
    await new Promise((resolve) => setTimeout(resolve, 250));
    expect(ran).toBe(false);
    rmSync(file);
    expect(await waiting).toBe(true);
  });

  test('one whose holder died is taken over', async () => {
    const file = join(temporaryFolder(), 'lock');
    const largestProcessId = 2 ** 22;
    writeFileSync(file, String(largestProcessId + 1));
    expect(await withLock(file, () => 'built')).toBe('built');
  });
});

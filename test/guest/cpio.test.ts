import { describe, expect, test } from 'vitest';
import { cpioArchive, directoryMode, fileMode, type CpioEntry } from '../../scripts/guest/cpio.ts';

interface Read {
  readonly name: string;
  readonly mode: number;
  readonly inode: number;
  readonly device: readonly [number, number];
  readonly data: string;
}

/** An own reader, so that the writer is not held against itself. */
function readArchive(archive: Uint8Array): Read[] {
  const bytes = Buffer.from(archive);
  const entries: Read[] = [];
  for (let at = 0; ;) {
    expect(bytes.toString('latin1', at, at + 6)).toBe('070701');
    const field = (index: number): number =>
      Number.parseInt(bytes.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16);
    const nameEnd = at + 110 + field(11);
    expect(bytes[nameEnd - 1]).toBe(0);
    const name = bytes.toString('utf8', at + 110, nameEnd - 1);
    if (name === 'TRAILER!!!') return entries;
    const start = Math.ceil(nameEnd / 4) * 4;
    const end = start + field(6);
    const data = bytes.toString('latin1', start, end);
    entries.push({ name, inode: field(0), mode: field(1), device: [field(9), field(10)], data });
    at = Math.ceil(end / 4) * 4;
  }
}

describe('cpioArchive', () => {
  test('every length of name and data keeps its alignment', () => {
    const written: CpioEntry[] = [];
    for (let length = 0; length < 9; length += 1) {
      written.push({ name: `n${'x'.repeat(length)}`, mode: fileMode, data: 'd'.repeat(8 - length) });
    }
    const read = readArchive(cpioArchive(written));
    expect(read.map(({ name, data }) => ({ name, data }))).toEqual(written.map(({ name, data }) => ({ name, data })));
    expect(new Set(read.map(({ inode }) => inode)).size).toBe(written.length);
  });

  test('folders, links and devices', () => {
    const archive = cpioArchive([
      { name: 'dev', mode: directoryMode },
      { name: 'dev/console', mode: 0o20600, device: [5, 1] },
      { name: 'bin/sh', mode: 0o120777, data: 'busybox' },
    ]);
    expect(archive.length % 512).toBe(0);
    expect(readArchive(archive)).toEqual([
      { name: 'dev', inode: 1, mode: 0o40755, device: [0, 0], data: '' },
      { name: 'dev/console', inode: 2, mode: 0o20600, device: [5, 1], data: '' },
      { name: 'bin/sh', inode: 3, mode: 0o120777, device: [0, 0], data: 'busybox' },
    ]);
  });

  test.each(['', '/init', 'a\0b', 'TRAILER!!!'])('the name %j is refused', (name) => {
    expect(() => cpioArchive([{ name, mode: fileMode }])).toThrow(RangeError);
  });

  test('a name twice is refused', () => {
    const entry = { name: 'init', mode: fileMode };
    expect(() => cpioArchive([entry, entry])).toThrow(/two entries/);
  });
});

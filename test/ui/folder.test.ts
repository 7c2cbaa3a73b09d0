import { describe, expect, it } from 'vitest';
import type { BlockError } from '../../src/block/error.ts';
import { filesAround, folderOfChosen, folderWords, imagesIn, readFolder } from '../../src/ui/images/folder.ts';

type Tree = { readonly [name: string]: Tree | string | undefined };

/** What a browser gives for a dropped folder. A file that is `undefined` cannot be read. Entries come one at a time. */
function entryOf(name: string, tree: Tree | string | undefined): FileSystemEntry {
  if (typeof tree === 'object') {
    const createReader = () => {
      const left = Object.entries(tree).map(([inner, content]) => entryOf(inner, content));
      return { readEntries: (done: (entries: FileSystemEntry[]) => void) => done(left.splice(0, 1)) };
    };
    return { name, isFile: false, isDirectory: true, createReader } as unknown as FileSystemEntry;
  }
  const file = (done: (file: File) => void, failed: (error: DOMException) => void) =>
    tree === undefined ? failed(new DOMException('no', 'NotReadableError')) : done(new File([tree], name));
  return { name, isFile: true, isDirectory: false, file } as unknown as FileSystemEntry;
}

const nothing = () => undefined;
const read = (...entries: FileSystemEntry[]) => readFolder(entries, new AbortController().signal, nothing);
const paths = (folder: { readonly files: readonly { readonly path: string }[] }) =>
  folder.files.map(({ path }) => path);

function chosen(path: string, content = ''): File {
  const file = new File([content], path.slice(path.lastIndexOf('/') + 1));
  Object.defineProperty(file, 'webkitRelativePath', { value: path });
  return file;
}

describe('a folder that was dropped', () => {
  it('has its files with their paths, and empty folders left out', async () => {
    const folder = await read(entryOf('docs', { 'a.txt': 'one', inner: { deep: { 'b.txt': 'three' }, empty: {} } }));
    expect(folder).toMatchObject({ name: 'docs', fileCount: 2, folderCount: 2, bytes: 8 });
    expect(paths(folder)).toEqual(['a.txt', 'inner/deep/b.txt']);
    expect(folderWords(folder)).toBe('2 files in 2 folders');
  });

  it('is the same as one that was chosen', async () => {
    const dropped = await read(entryOf('docs', { 'a.txt': 'one', inner: { 'b.txt': 'two', empty: {} } }));
    const other = folderOfChosen([chosen('docs/a.txt', 'one'), chosen('docs/inner/b.txt', 'two')]);
    const { files: _one, ...facts } = dropped;
    expect(other).toMatchObject(facts);
    expect(paths(other)).toEqual(paths(dropped));
  });

  it('lies in the disk’s top folder where it was dropped beside others', async () => {
    const folder = await read(entryOf('docs', { a: '1' }), entryOf('b', '2'));
    expect(folder.name).toBe('docs and 1 more');
    expect(paths(folder).toSorted()).toEqual(['b', 'docs/a']);
  });

  it('names the files that cannot be read, as many as somebody would want to know', async () => {
    const tree = Object.fromEntries(Array.from({ length: 15 }, (_, index) => [`no${index}`, undefined]));
    const folder = await read(entryOf('docs', { a: '1', inner: tree }));
    expect(folder.unreadable.count).toBe(15);
    expect(folder.unreadable.paths).toEqual(Array.from({ length: 10 }, (_, index) => `inner/no${index}`));
    expect(folder.fileCount).toBe(1);
  });

  it.each<[string, Tree, string]>([
    ['nothing in it', { inner: {} }, 'There are no files in it'],
    ['nothing in it that can be read', { a: undefined }, 'None of its files can be read'],
  ])('is refused with %s', async (_what, tree, words) => {
    await expect(read(entryOf('docs', tree))).rejects.toThrow(words);
  });

  it('is not followed for ever', async () => {
    const endless: { [name: string]: Tree } = {};
    endless['again'] = endless;
    await expect(read(entryOf('docs', endless))).rejects.toThrow('more than 64 deep');
  });

  it('is read until it is stopped', async () => {
    const abort = new AbortController();
    const stopped = readFolder([entryOf('docs', { a: '1', b: '2', c: '3' })], abort.signal, () => abort.abort());
    await expect(stopped).rejects.toMatchObject({ kind: 'aborted' } satisfies Partial<BlockError>);
  });
});

describe('images in a folder', () => {
  it('are known by their names, without the parts that others lead to', async () => {
    const folder = await read(
      entryOf('vm', {
        'a.vmdk': '',
        'a-s001.vmdk': '',
        'a-flat.vmdk': '',
        'log.txt': '',
        old: { 'a.vmdk': '', 'b.qcow2': '' },
      }),
    );
    expect(imagesIn(folder).map(({ path }) => path)).toEqual(['a.vmdk', 'old/a.vmdk', 'old/b.qcow2']);
    // What lies beside an image comes last, where the last of a name counts.
    expect(filesAround(folder, 'old/b.qcow2').slice(-2)).toEqual(
      imagesIn(folder)
        .slice(-2)
        .map(({ file }) => file),
    );
  });
});

import { BlockError } from '../../error.ts';

/**
 * Takes a path in the origin private file system apart.
 *
 * @param path names with slashes between them, from the top: `disks/mine.qcow2`; a slash in front means nothing
 * @returns the folders from the top and the file's name
 * @throws BlockError `invalid` for an empty name, `.` or `..`
 */
export function splitPath(path: string): { readonly folders: readonly string[]; readonly file: string } {
  const parts = path.replace(/^\//, '').split('/');
  const bad = parts.find((part) => part === '' || part === '.' || part === '..');
  if (bad !== undefined) {
    const message = `'${path}' is no path in the browser's file system: a part of it is '${bad}'; write it like 'disks/mine.qcow2'`;
    throw new BlockError('invalid', message, { driver: 'opfs', filename: path });
  }
  return { folders: parts.slice(0, -1), file: parts.at(-1)! };
}

/** One spelling for one file, so that locks meet. @throws BlockError `invalid` */
export function normalPath(path: string): string {
  const { folders, file } = splitPath(path);
  return [...folders, file].join('/');
}

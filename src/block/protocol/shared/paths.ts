/** Names with slashes, as the storages that have folders of their own understand them. */

/**
 * The name of a file beside another one, as a reference inside it says.
 *
 * @param path name of the file that holds the reference; undefined: the reference starts from the top
 * @param reference relative to the folder of `path`, or from the top when it begins with a slash
 * @returns a name from the top, without `.` and `..`, which never leads above the top
 */
export function siblingPath(path: string | undefined, reference: string): string {
  const folder = reference.startsWith('/') ? [] : (path ?? '').split('/').slice(0, -1);
  const parts: string[] = [];
  for (const part of [...folder, ...reference.split('/')]) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}

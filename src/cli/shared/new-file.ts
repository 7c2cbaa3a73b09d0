/**
 * A file that is made under another name and gets its own when it is whole: whatever happens before, nothing of that name
 * passes for what it was to become, and what had the name before is still there.
 */
import { accessSync, chmodSync, constants, lstatSync, renameSync, rmSync, type Stats } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { BlockdevOptions } from '../../node/index.ts';
import { asPath } from './paths.ts';

export class NewFile {
  /** Where to write. */
  readonly path: string;
  readonly #target: string;
  readonly #before: Stats | undefined;
  /** Files beside it that it names: extents, an external data file. */
  #others: readonly string[] = [];

  /** @param isFile the target is a file of this machine */
  constructor(target: string, isFile: boolean) {
    this.#target = target;
    this.#before = statOf(target);
    const folder = target.slice(0, target.lastIndexOf('/') + 1);
    this.path = isFile && this.#mayBeReplaced() ? asPath(`${folder}.${basename(target)}.${process.pid}.part`) : target;
  }

  /** Whether a file of that name is there already, and stays until `publish`. */
  get replaces(): boolean {
    return this.path !== this.#target && this.#before !== undefined;
  }

  /** @param files all that the image consists of, as options of nodes */
  consistsOf(files: readonly BlockdevOptions[]): void {
    const paths = files.filter(({ driver }) => driver === 'file').map(({ filename }) => String(filename));
    this.#others = paths.filter((path) => path !== this.path);
  }

  /** Gives the file its name. @throws the error of the file system */
  publish(): void {
    if (this.path === this.#target) return;
    if (this.#before !== undefined) chmodSync(this.path, this.#before.mode % 0o10000);
    renameSync(this.path, this.#target);
  }

  /** Throws away what was begun, files beside it too. Devices and the like stay. */
  discard(): void {
    for (const path of [this.path, ...this.#others]) if (statOf(path)?.isFile() === true) rmSync(path, { force: true });
  }

  /** A link, a device or a file of somebody else's is written where it is. */
  #mayBeReplaced(): boolean {
    const before = this.#before;
    if (before !== undefined && (!before.isFile() || before.nlink > 1 || before.uid !== process.getuid?.()))
      return false;
    try {
      accessSync(dirname(this.#target), constants.W_OK);
      return true;
    } catch {
      // The error of making the file says it better.
      return false;
    }
  }
}

function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

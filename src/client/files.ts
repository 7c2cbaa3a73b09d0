/** The files that the browser keeps for this site (OPFS): what disks are stored in. */
import type { StoredFile } from '../worker/api.ts';
import type { WorkerLink } from './link.ts';

export class BrowserFiles {
  readonly #link: WorkerLink;

  /** Made by `connect`. */
  constructor(link: WorkerLink) {
    this.#link = link;
  }

  /**
   * All files in a folder and in those below it, by path.
   *
   * @param folder path from the top; default: everything. One that does not exist has no files
   * @throws BlockError `unsupported` where the browser keeps no files
   */
  list(folder = ''): Promise<StoredFile[]> {
    return this.#link.call((api) => api.listFiles(folder));
  }

  /** Deletes a file that nobody has open. @throws BlockError `not-found`, `busy`, `invalid` */
  delete(path: string): Promise<void> {
    return this.#link.call((api) => api.delete({ driver: 'opfs', path }));
  }

  /** Gives a file that nobody has open another path. @throws BlockError `exists`, `not-found`, `busy`, `invalid`, `unsupported` */
  rename(from: string, to: string): Promise<void> {
    return this.#link.call((api) => api.renameFile(from, to));
  }

  /** The file as it is stored now, for a download. @throws BlockError `not-found`, `invalid`, `unsupported` */
  read(path: string): Promise<File> {
    return this.#link.call((api) => api.readFile(path));
  }

  /**
   * Asks the browser never to clear this site's files by itself.
   *
   * @returns whether it promised
   */
  persist(): Promise<boolean> {
    return navigator.storage.persist();
  }

  /** Whether the browser has promised not to clear this site's files by itself. */
  persisted(): Promise<boolean> {
    return navigator.storage.persisted();
  }

  /** Bytes that the site uses, and that it may use, as the browser estimates them. */
  async estimate(): Promise<{ readonly usage: number; readonly quota: number }> {
    const { usage = 0, quota = 0 } = await navigator.storage.estimate();
    return { usage, quota };
  }
}

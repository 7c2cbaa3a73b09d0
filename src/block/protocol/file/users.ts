/** Who in this process has which file open: one writer, or any number of readers. */
import { busyError } from '../shared/errors.ts';

interface Users {
  readers: number;
  writers: number;
}

export class FileUsers {
  /** By device and inode, so that links and other spellings of a path meet. */
  readonly #files = new Map<string, Users>();

  /**
   * @returns a way to say that the use has ended
   * @throws BlockError `busy`
   */
  enter(identity: string, filename: string, readOnly: boolean, forceShare: boolean): () => void {
    const users = this.#files.get(identity) ?? { readers: 0, writers: 0 };
    const refused = readOnly ? users.writers > 0 && !forceShare : users.readers + users.writers > 0;
    if (refused) throw busyError('file', filename, `a ${users.writers > 0 ? 'writer' : 'reader'} of this process`);
    const role = readOnly ? 'readers' : 'writers';
    users[role]++;
    this.#files.set(identity, users);
    return () => {
      users[role]--;
      if (users.readers + users.writers === 0) this.#files.delete(identity);
    };
  }
}

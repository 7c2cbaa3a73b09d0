import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const project = fileURLToPath(new URL('../..', import.meta.url));

/** This folder: the builder's own sources. */
export const sourceFolder = fileURLToPath(new URL('.', import.meta.url));

/** The text files that go into the guests. */
export const guestFilesFolder = join(sourceFolder, 'files');

export interface GuestFolders {
  /** Downloaded and unpacked packages and the build's own intermediate files; may be deleted at any time. */
  readonly cache: string;
  /** What the demo page fetches. */
  readonly output: string;
}

/** Where the project builds: both are ignored by git. */
export const projectFolders: GuestFolders = {
  cache: join(project, '.cache', 'guest'),
  output: join(project, 'public', 'demo'),
};

/** Files that are on their way to be something: what a closed tab left behind of them is removed at the next start. */

/** On their way to the person's downloads. */
export const DOWNLOADS = 'downloads';
/** Images that are being unpacked: half of one is never shown as one. */
export const UNPACKING = 'unpacking';

/** A Web Lock, shared by the tabs that make such files. */
const LOCK = 'spindle-unfinished';

/** Removes what an earlier visit left behind, unless another tab is making something. */
export async function removeUnfinished(): Promise<void> {
  await navigator.locks.request(LOCK, { mode: 'exclusive', ifAvailable: true }, async (lock) => {
    if (lock === null) return;
    for (const folder of [DOWNLOADS, UNPACKING]) await removeFolder(folder);
  });
}

async function removeFolder(folder: string): Promise<void> {
  try {
    const root = await navigator.storage.getDirectory();
    await root.removeEntry(folder, { recursive: true });
  } catch (error) {
    // Nothing there, or no such storage in this browser.
    if (!(error instanceof DOMException || error instanceof TypeError)) throw error;
  }
}

/** Keeps other tabs from tidying up. @returns lets go */
export function holdUnfinished(): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const held = navigator.locks.request(
      LOCK,
      { mode: 'shared' },
      // Held until it is let go, and given back with the page if that goes before.
      () => new Promise<void>((release) => resolve(release)),
    );
    held.catch(reject);
  });
}

/** Where this browser can keep overlays. */

/** The storages that are there. */
export interface StorageChoice {
  readonly opfs: boolean;
  readonly indexeddb: boolean;
}

/** Tries both: a private window may have the interfaces and refuse to use them. */
export async function availableStorages(): Promise<StorageChoice> {
  return { opfs: await hasFiles(), indexeddb: await hasIndexedDb() };
}

async function hasFiles(): Promise<boolean> {
  try {
    await navigator.storage.getDirectory();
    return true;
  } catch (error) {
    if (error instanceof DOMException || error instanceof TypeError) return false;
    throw error;
  }
}

function hasIndexedDb(): Promise<boolean> {
  return new Promise((resolve) => {
    try {
      const request = indexedDB.open('spindle-probe');
      request.onsuccess = () => {
        request.result.close();
        indexedDB.deleteDatabase('spindle-probe');
        resolve(true);
      };
      request.onerror = () => resolve(false);
    } catch {
      // Some browsers throw where they keep nothing.
      resolve(false);
    }
  });
}

import { messageOf } from '../shared/errors.ts';
import { STORE_NAME } from './layout.ts';

/** The default durability answers before the data is safe from a power cut, and idb-keyval cannot ask for more. */
export function strictTransaction(database: IDBDatabase, requests: (store: IDBObjectStore) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(STORE_NAME, 'readwrite', { durability: 'strict' });
    transaction.addEventListener('complete', () => resolve());
    // Failed requests abort the transaction; only then is its error known.
    transaction.addEventListener('abort', () => reject(transaction.error ?? new Error('the transaction was aborted')));
    try {
      requests(transaction.objectStore(STORE_NAME));
    } catch (error) {
      transaction.abort();
      reject(error instanceof Error ? error : new Error(messageOf(error)));
    }
  });
}

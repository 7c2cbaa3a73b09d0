/**
 * Locks that all tabs and workers of a site see, and that the browser takes away from one that dies. They say who may open a
 * file: writers alone, readers together.
 */
import type { BlockError } from '../../error.ts';
import { busyError } from './errors.ts';

export interface HeldLock {
  /** Gives the lock back; others can have it when the promise settles. */
  release(): Promise<void>;
}

const NOTHING_HELD: HeldLock = { release: () => Promise.resolve() };

/**
 * Takes a lock, or fails at once.
 *
 * @param driver whose file it is, for the lock's name and for messages
 * @param filename one spelling for one file
 * @param shared true for readers
 * @throws BlockError `busy`, with the holder's client id in `detail` where the browser tells it
 */
export async function takeLock(driver: string, filename: string, shared: boolean): Promise<HeldLock> {
  // Without Web Locks (an insecure page, an old browser) what the storage itself refuses is all the protection there is.
  if (typeof navigator === 'undefined' || navigator.locks === undefined) return NOTHING_HELD;
  const name = lockName(driver, filename);
  const held = await request(name, shared ? 'shared' : 'exclusive');
  if (held === undefined) throw await heldElsewhere(driver, filename, name);
  return held;
}

/** Takes a lock for the time of some work. @throws BlockError `busy`, and whatever the work throws */
export async function withLock<T>(
  driver: string,
  filename: string,
  shared: boolean,
  work: () => Promise<T>,
): Promise<T> {
  const lock = await takeLock(driver, filename, shared);
  try {
    return await work();
  } finally {
    await lock.release();
  }
}

/** Whether anybody has a lock now; false where there are no Web Locks. */
export async function isLockHeld(driver: string, filename: string): Promise<boolean> {
  if (typeof navigator === 'undefined' || navigator.locks === undefined) return false;
  const { held = [] } = await navigator.locks.query();
  return held.some(({ name }) => name === lockName(driver, filename));
}

const lockName = (driver: string, filename: string): string => `spindle:${driver}:${filename}`;

function request(name: string, mode: LockMode): Promise<HeldLock | undefined> {
  return new Promise((resolve, reject) => {
    const ended: Promise<unknown> = navigator.locks.request(name, { mode, ifAvailable: true }, (lock) => {
      if (lock === null) {
        resolve(undefined);
        return;
      }
      return new Promise<void>((letGo) => {
        resolve({
          release: async () => {
            letGo();
            await ended;
          },
        });
      });
    });
    ended.catch(reject);
  });
}

async function heldElsewhere(driver: string, filename: string, name: string): Promise<BlockError> {
  const { held = [] } = await navigator.locks.query();
  const holders = held.filter((lock) => lock.name === name);
  const writer = holders.some((lock) => lock.mode === 'exclusive');
  const who = `another disk, tab or worker of this site that ${writer ? 'writes to' : 'reads'} it`;
  return busyError(driver, filename, who, {
    holders: holders.map(({ clientId, mode }) => ({ clientId: clientId ?? '', mode: mode ?? '' })),
  });
}

/**
 * Who uses a database, so that the disks in it outlive a browser that was killed twice.
 *
 * A browser that is killed while it writes to its log of a database leaves a record there that is not whole. When it runs again,
 * Chromium writes on behind that record, and the time after that it takes the log for damaged and deletes the database, with all
 * disks in it (LevelDB with reused logs, Chromium 156; `e2e/torn-log.slow.spec.ts` shows it). So a session leaves a mark in the
 * database for as long as it lasts. Who finds the mark of one that did not end well writes more than Chromium keeps in one log:
 * then a new log is begun, and the old one goes.
 */
import { createStore, promisifyRequest, type UseStore } from 'idb-keyval';
import { takeLock, isLockHeld, type HeldLock } from '../shared/web-lock.ts';
import { exceptionName } from '../shared/errors.ts';
import { STORE_NAME } from './layout.ts';
import { strictTransaction } from './transaction.ts';

const LOCK_OWNER = 'indexeddb-session';
/** LevelDB begins a new log after 4 MiB at most. Values of 64 KiB and more would go into files of their own, beside the log. */
const FILLER_VALUES = 84;
const FILLER_BYTES = 60_000;

interface Session {
  readonly id: string;
  readonly store: UseStore;
  readonly begun: Promise<HeldLock>;
  users: number;
}

/** The sessions of this worker, by database. */
const sessions = new Map<string, Session>();

/**
 * Begins to use a database, before anything in it is read or written.
 *
 * @returns what ends the use
 * @throws whatever the browser throws when the database cannot be opened or written
 */
export async function joinDatabase(database: string): Promise<() => Promise<void>> {
  const session = sessions.get(database) ?? newSession(database);
  session.users++;
  try {
    await session.begun;
  } catch (error) {
    session.users--;
    if (sessions.get(database) === session) sessions.delete(database);
    throw error;
  }
  return () => leave(database, session);
}

function newSession(database: string): Session {
  const id = crypto.randomUUID();
  const store = createStore(database, STORE_NAME);
  const session = { id, store, begun: begin(database, id, store), users: 0 };
  sessions.set(database, session);
  return session;
}

async function begin(database: string, id: string, store: UseStore): Promise<HeldLock> {
  const lock = await takeLock(LOCK_OWNER, lockName(database, id), false);
  try {
    const dead = await deadSessions(database, store);
    // A full disk keeps nobody from the disks that are there; what has no mark is only less safe from a second kill.
    await unlessFull(async () => {
      await mark(store, id);
      if (dead.length > 0) await renewLog(store, dead);
    });
    return lock;
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function leave(database: string, session: Session): Promise<void> {
  session.users--;
  if (session.users > 0) return;
  sessions.delete(database);
  try {
    await unlessFull(() =>
      session.store('readwrite', (objects) => {
        objects.delete(markKey(session.id));
        return promisifyRequest(objects.transaction);
      }),
    );
    await session.store('readonly', (objects) => objects.transaction.db.close());
  } finally {
    await (await session.begun).release();
  }
}

function mark(store: UseStore, id: string): Promise<void> {
  return store('readwrite', (objects) => {
    objects.put(Date.now(), markKey(id));
    return promisifyRequest(objects.transaction);
  });
}

/** Sessions that left a mark and are not there any more. */
async function deadSessions(database: string, store: UseStore): Promise<string[]> {
  const keys = await store('readonly', (objects) => promisifyRequest(objects.getAllKeys(rangeOf('session'))));
  const ids = keys.map((key) => (Array.isArray(key) ? String(key[1]) : ''));
  const alive = await Promise.all(ids.map((id) => isLockHeld(LOCK_OWNER, lockName(database, id))));
  return ids.filter((_, index) => alive[index] !== true);
}

/** Fills the log until a new one is begun, and takes what filled it away again. */
async function renewLog(store: UseStore, dead: readonly string[]): Promise<void> {
  await store('readonly', async ({ transaction: { db } }) => {
    await strictTransaction(db, (objects) => {
      for (let index = 0; index < FILLER_VALUES; index++) {
        objects.put(new Uint8Array(FILLER_BYTES).fill(index), ['filler', index]);
      }
    });
    await strictTransaction(db, (objects) => {
      objects.delete(rangeOf('filler'));
      for (const id of dead) objects.delete(markKey(id));
    });
  });
}

async function unlessFull(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (exceptionName(error) !== 'QuotaExceededError') throw error;
  }
}

const markKey = (id: string): IDBValidKey => ['session', id];
const rangeOf = (kind: string): IDBKeyRange => IDBKeyRange.bound([kind], [kind, []]);
const lockName = (database: string, id: string): string => `${database}/${id}`;

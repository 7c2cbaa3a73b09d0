/** Takes pages' greetings, in a worker. */
import { expose } from 'comlink';
import type { DriverSet } from '../block/registry.ts';
import { Session } from './session.ts';
import { installErrorTransfer } from './transfer.ts';
import { isGreeting, PROTOCOL_VERSION, type Greeting, type WelcomeMessage } from './wire.ts';

/**
 * Lets pages connect to this worker: each greeting gets a session of its own. Messages that are no greetings are left to others.
 *
 * @param scope the worker's global scope
 * @param drivers what disks may be made of
 */
export function serve(scope: EventTarget, drivers: DriverSet): void {
  installErrorTransfer();
  scope.addEventListener('message', (event) => {
    const data: unknown = (event as MessageEvent<unknown>).data;
    // It answers the page itself, also when it fails.
    if (isGreeting(data)) void welcome(data, drivers);
  });
}

async function welcome(greeting: Greeting, drivers: DriverSet): Promise<void> {
  const { control, lifeLock } = greeting;
  const answer = (holdsLock: boolean): void => {
    control.postMessage({ spindle: PROTOCOL_VERSION, holdsLock } satisfies WelcomeMessage);
  };
  // A page of another release finds out by the version that it is told; no call of its is taken.
  if (greeting.spindle !== PROTOCOL_VERSION) {
    answer(false);
    return;
  }
  const holdsLock = await holdForLife(lifeLock);
  expose(new Session(drivers), control);
  answer(holdsLock);
}

/** Takes a lock that only the end of this worker frees: that is how the page sees the end. */
function holdForLife(name: string): Promise<boolean> {
  if (navigator.locks === undefined) return Promise.resolve(false);
  return new Promise((resolve) => {
    const held: Promise<unknown> = navigator.locks.request(name, () => {
      resolve(true);
      return new Promise<never>(() => undefined);
    });
    // A document without an origin of its own has the interface and no locks.
    held.catch(() => resolve(false));
  });
}

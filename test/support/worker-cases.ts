/** Test cases that run inside a dedicated worker, one by one, and are reported by the page's test runner. */
import type { RegisterCase } from '../conformance/storage-fixture.ts';

type Request = { readonly id: number; readonly run: string | undefined };
type Reply = { readonly id: number; readonly names?: readonly string[]; readonly failure?: string };

/** In the worker: answers the page with the names of the cases, and runs the one that it asks for. */
export function serveCases(cases: ReadonlyMap<string, () => Promise<void>>): void {
  const scope = globalThis as unknown as DedicatedWorkerGlobalScope;
  scope.onmessage = (event: MessageEvent<Request>) => {
    const { id, run } = event.data;
    if (run === undefined) {
      scope.postMessage({ id, names: [...cases.keys()] } satisfies Reply);
      return;
    }
    const done = (failure?: unknown) =>
      scope.postMessage({ id, ...(failure === undefined ? {} : { failure: describe(failure) }) } satisfies Reply);
    cases.get(run)!().then(() => done(), done);
  };
}

/** In the worker: a list to register cases in. */
export function caseList(): { readonly cases: Map<string, () => Promise<void>>; readonly register: RegisterCase } {
  const cases = new Map<string, () => Promise<void>>();
  return {
    cases,
    register: (name, run) => {
      if (cases.has(name)) throw new Error(`two cases are called '${name}'`);
      cases.set(name, run);
    },
  };
}

/** On the page: registers every case that the worker serves. */
export async function registerWorkerCases(worker: Worker, register: RegisterCase): Promise<void> {
  for (const name of await caseNames(worker)) register(name, () => runCase(worker, name));
}

/** On the page: the names of a worker's cases. */
export async function caseNames(worker: Worker): Promise<readonly string[]> {
  const { names = [] } = await ask(worker, undefined);
  if (names.length === 0) throw new Error('the worker serves no cases');
  return names;
}

/** On the page: runs one case of a worker. */
export async function runCase(worker: Worker, name: string): Promise<void> {
  const { failure } = await ask(worker, name);
  if (failure !== undefined) throw new Error(failure);
}

let asked = 0;

function ask(worker: Worker, run: string | undefined): Promise<Reply> {
  const id = asked++;
  return new Promise((resolve, reject) => {
    const listen = (event: MessageEvent<Reply>) => {
      if (event.data.id !== id) return;
      worker.removeEventListener('message', listen);
      resolve(event.data);
    };
    worker.addEventListener('message', listen);
    worker.addEventListener('error', (event) => reject(new Error(`the worker failed: ${event.message}`)), {
      once: true,
    });
    worker.postMessage({ id, run } satisfies Request);
  });
}

function describe(failure: unknown): string {
  if (!(failure instanceof Error)) return String(failure);
  const cause = failure.cause === undefined ? '' : `\ncaused by ${describe(failure.cause)}`;
  return `${failure.stack ?? failure.message}${cause}`;
}

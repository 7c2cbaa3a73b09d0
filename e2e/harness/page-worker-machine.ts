/** The page's end of a PC that runs in a worker: what it types goes there, what the guest writes comes from there. */
import type { WorkerMachineOrder } from './calls.ts';

/** From the page: the machine to start, then what is typed, and when to flush. */
export type ToWorkerMachine =
  | { readonly start: WorkerMachineOrder; readonly page: string }
  | { readonly typed: string }
  | { readonly flush: true };

/** From the worker: that it has done as told, why it could not, or what its guest writes. */
export type FromWorkerMachine = { readonly done: true } | { readonly failed: string } | { readonly written: string };

export class WorkerMachine {
  readonly #worker = new Worker(new URL('./core-worker.ts', import.meta.url), { type: 'module' });
  #answer = Promise.withResolvers<void>();

  private constructor() {
    this.#worker.onerror = ({ message }) => this.#answer.reject(new Error(`The worker failed: ${message}`));
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorkerMachine>) => {
      if ('done' in data) this.#answer.resolve();
      else if ('written' in data) void serialOutput(data.written); // heard or not: a page that goes away has no listener
      else this.#answer.reject(new Error(data.failed));
    };
  }

  static async start(order: WorkerMachineOrder): Promise<WorkerMachine> {
    const machine = new WorkerMachine();
    await machine.#ask({ start: order, page: document.baseURI });
    return machine;
  }

  type(typed: string): void {
    this.#worker.postMessage({ typed } satisfies ToWorkerMachine);
  }

  flushDrives(): Promise<void> {
    return this.#ask({ flush: true });
  }

  #ask(message: ToWorkerMachine): Promise<void> {
    this.#answer = Promise.withResolvers<void>();
    this.#worker.postMessage(message);
    return this.#answer.promise;
  }
}

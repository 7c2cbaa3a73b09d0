// Runs on the pages of a browser profile: starts dedicated workers whose cases a Node test calls by name.
import { caseNames, runCase } from './worker-cases.ts';

export interface PageWorker {
  names(): Promise<readonly string[]>;
  run(name: string): Promise<void>;
  end(): void;
}

export type WindowWithWorkers = typeof globalThis & { startWorker(script: string): PageWorker };

(globalThis as WindowWithWorkers).startWorker = (script) => {
  const worker = new Worker(script, { type: 'module' });
  return {
    names: () => caseNames(worker),
    run: (name) => runCase(worker, name),
    end: () => worker.terminate(),
  };
};

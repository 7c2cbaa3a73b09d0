// One piece of work in a worker of its own, asked for by the page.
import type { ChainTimes } from '../chains.ts';
import type { CoreTimes } from './core.ts';

export interface Work {
  core: CoreTimes[];
  chain: ChainTimes[];
}

export type WorkAnswer = { readonly result: unknown } | { readonly failure: string };

export function askWorker<Name extends keyof Work>(name: Name): Promise<Work[Name]> {
  const worker = new Worker(new URL('./work.worker.ts', import.meta.url), { type: 'module' });
  return new Promise<Work[Name]>((resolve, reject) => {
    worker.addEventListener('error', (event) => reject(new Error(`the worker failed: ${event.message}`)));
    worker.addEventListener('message', ({ data }: MessageEvent<WorkAnswer>) => {
      if ('failure' in data) reject(new Error(data.failure));
      else resolve(data.result as Work[Name]);
    });
    worker.postMessage(name);
  }).finally(() => worker.terminate());
}

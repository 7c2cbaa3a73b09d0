import { workerDrivers } from '../../src/worker/drivers.ts';
import { measureChains } from '../chains.ts';
import { measureCore } from './core.ts';
import type { Work, WorkAnswer } from './work.ts';

const work: { readonly [Name in keyof Work]: () => Promise<Work[Name]> } = {
  core: measureCore,
  chain: () => measureChains(workerDrivers, (layer) => ({ driver: 'opfs', path: `bench/chain-${layer}.img` })),
};

addEventListener('message', ({ data }: MessageEvent<keyof Work>) => {
  work[data]().then(
    (result) => postMessage({ result } satisfies WorkAnswer),
    (error: unknown) =>
      postMessage({ failure: error instanceof Error ? error.stack! : String(error) } satisfies WorkAnswer),
  );
});

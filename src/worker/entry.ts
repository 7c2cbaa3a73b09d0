/** The worker's entry: importing it, in a dedicated worker, lets pages `connect` to it. */
import { useArgon2 } from '../codec/argon2.ts';
import { argon2InWorker } from './argon2.ts';
import { workerDrivers } from './drivers.ts';
import { serve } from './serve.ts';

/** For a graph of your own in the same worker, beside an emulator: `new BlockGraph(workerDrivers)`. */
export { workerDrivers };

useArgon2(argon2InWorker);
serve(self, workerDrivers);

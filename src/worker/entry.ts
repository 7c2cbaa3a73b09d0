/** The worker's entry: importing it, in a dedicated worker, lets pages `connect` to it. */
import { workerDrivers } from './drivers.ts';
import { serve } from './serve.ts';

/** For a graph of your own in the same worker, beside an emulator: `new BlockGraph(workerDrivers)`. */
export { workerDrivers };

serve(self, workerDrivers);

/** The worker's entry: importing it, in a dedicated worker, lets pages `connect` to it. */
import { workerDrivers } from './drivers.ts';
import { serve } from './serve.ts';

serve(self, workerDrivers);

import { describe, test } from 'vitest';
import { registerWorkerCases } from '../../support/worker-cases.ts';

const worker = new Worker(new URL('./opfs.worker.ts', import.meta.url), { type: 'module' });

describe('opfs', async () => {
  await registerWorkerCases(worker, test);
});

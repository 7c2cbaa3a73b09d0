export const name = 'qcow2-nth-failure';
export { runNthFailures as run } from '../simulation/qcow2-nth-failure.ts';

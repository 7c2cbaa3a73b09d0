export const name = 'qcow2-fuzz';
export { runFuzz as run } from '../fuzz/qcow2-fuzz.ts';

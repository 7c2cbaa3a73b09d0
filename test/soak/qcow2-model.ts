export const name = 'qcow2-model';
export { runModel as run } from '../simulation/qcow2-model.ts';

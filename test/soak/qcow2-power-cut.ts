export const name = 'qcow2-power-cut';
export { runPowerCuts as run } from '../simulation/qcow2-power-cut.ts';

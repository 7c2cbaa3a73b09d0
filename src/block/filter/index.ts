import type { FilterDriver } from '../driver.ts';

export const filterDrivers: readonly FilterDriver[] = [];

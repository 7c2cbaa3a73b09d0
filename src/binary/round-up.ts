/** @returns the next multiple of a unit, or the value itself if it is one; exact for all whole numbers below 2^53 */
export function roundUp(value: number, unit: number): number {
  return value + ((unit - (value % unit)) % unit);
}

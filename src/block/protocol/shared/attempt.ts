/** Runs something that does not wait and gives a promise of it: what it throws rejects the promise. */
export function attempt<T>(body: () => T): Promise<T> {
  return new Promise((resolve) => {
    resolve(body());
  });
}

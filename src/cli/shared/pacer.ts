/** `-r`: no more than so many bytes a second. */
export class Pacer {
  readonly #bytesPerSecond: number;
  #freeAtMs = 0;

  /** @param bytesPerSecond 1 or more */
  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Waits until it is the turn of so many bytes. */
  wait(bytes: number): Promise<void> {
    const nowMs = performance.now();
    const beginMs = Math.max(nowMs, this.#freeAtMs);
    this.#freeAtMs = beginMs + (bytes / this.#bytesPerSecond) * 1000;
    return new Promise((resolve) => {
      setTimeout(resolve, beginMs - nowMs);
    });
  }
}

/** `-r`: no more than so many bytes a second. */
export class Pacer {
  readonly #bytesPerSecond: number;
  readonly #stop: AbortSignal | undefined;
  #freeAtMs = 0;

  /** @param bytesPerSecond 1 or more. @param stop when the command is to end, nothing waits any more */
  constructor(bytesPerSecond: number, stop: AbortSignal | undefined) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#stop = stop;
  }

  /** Waits until it is the turn of so many bytes. */
  wait(bytes: number): Promise<void> {
    const nowMs = performance.now();
    const beginMs = Math.max(nowMs, this.#freeAtMs);
    this.#freeAtMs = beginMs + (bytes / this.#bytesPerSecond) * 1000;
    if (this.#stop?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const go = (): void => {
        clearTimeout(timer);
        this.#stop?.removeEventListener('abort', go);
        resolve();
      };
      const timer = setTimeout(go, beginMs - nowMs);
      this.#stop?.addEventListener('abort', go);
    });
  }
}

/** Requests that are stopped at a breakpoint. A request that passes one is held at the next I/O that it does. */
import type { SuspendObserver } from '../../driver.ts';

interface Stopped {
  readonly tag: string;
  readonly resumed: Promise<void>;
  readonly resume: () => void;
  /** A request waits for it. */
  taken: boolean;
}

export class Breakpoints {
  readonly #stopped: Stopped[] = [];
  #observer: SuspendObserver | undefined;

  observe(observer: SuspendObserver | undefined): void {
    this.#observer = observer;
  }

  /** The request that is at the event right now is to be stopped. */
  suspend(tag: string): void {
    let resume: () => void = () => undefined;
    const resumed = new Promise<void>((resolve) => {
      resume = resolve;
    });
    this.#stopped.push({ tag, resumed, resume, taken: false });
    this.#observer?.('suspended', tag);
  }

  /** For a request that is about to do its I/O: what it must wait for, if it is the one to be stopped. */
  takeStopped(): Promise<void> | undefined {
    if (this.#stopped.length === 0) return undefined;
    const stopped = this.#stopped.find(({ taken }) => !taken);
    if (stopped === undefined) return undefined;
    stopped.taken = true;
    return stopped.resumed;
  }

  /** @returns whether there was a request of that tag */
  resume(tag: string): boolean {
    const index = this.#stopped.findIndex((stopped) => stopped.tag === tag);
    if (index < 0) return false;
    const [stopped] = this.#stopped.splice(index, 1);
    this.#observer?.('resumed', tag);
    stopped!.resume();
    return true;
  }

  resumeAll(): void {
    for (const { resume } of this.#stopped.splice(0)) resume();
  }

  isSuspended(tag: string): boolean {
    return this.#stopped.some((stopped) => stopped.tag === tag);
  }
}

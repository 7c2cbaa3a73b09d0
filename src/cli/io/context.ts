/** What the commands of spindle-io work on: an image, if one is open, and the requests that run beside the commands. */
import { debugPoints, type BlockBackend, type DebugPoints } from '../../node/index.ts';
import type { Session } from '../shared/session.ts';
import { Failure } from '../shared/failure.ts';
import { CommandError } from './command.ts';
import { openDisk, openPrefix, type OpenRequest } from './open-image.ts';

/** A request that runs beside the commands. What it prints waits until a command waits for something. */
interface Pending {
  readonly ended: Promise<void>;
  /** Set when it has ended. */
  print: (() => void) | undefined;
}

export class IoContext {
  readonly session: Session;
  #disk: BlockBackend | undefined;
  #request: OpenRequest | undefined;
  /** The program's image was named by options: `open` takes none beside them. */
  imageOpts = false;
  readonly #pending: Pending[] = [];
  #isIdle = false;

  constructor(session: Session) {
    this.session = session;
  }

  /** Prints to stdout, as it is. */
  readonly out = (text: string): void => {
    this.session.out(text);
  };

  get isOpen(): boolean {
    return this.#disk !== undefined;
  }

  /** The open image. Commands that need one are not run without. */
  get disk(): BlockBackend {
    if (this.#disk === undefined) throw new Error('a command that needs an image was run without one');
    return this.#disk;
  }

  /** How the image was opened, to be opened anew. */
  get request(): OpenRequest {
    if (this.#request === undefined) throw new Error('a command that needs an image was run without one');
    return this.#request;
  }

  /** @throws CommandError where nothing below can stop requests */
  debug(refusal: string): DebugPoints {
    const points = debugPoints(this.disk.node);
    if (points === undefined) throw new CommandError(`${refusal}: Operation not supported`);
    return points;
  }

  /** @throws Failure `can't open device …` */
  async open(request: OpenRequest): Promise<void> {
    const disk = await openDisk(this.session, request);
    this.#disk = disk;
    this.#request = request;
    debugPoints(disk.node)?.observe((what, tag) => {
      this.out(`blkdebug: ${what === 'suspended' ? 'Suspended' : 'Resuming'} request '${tag}'\n`);
    });
  }

  async close(): Promise<void> {
    if (this.#disk === undefined) return;
    await this.settleAll();
    const disk = this.#disk;
    this.#disk = undefined;
    await this.session.close(disk);
  }

  /** Opens the same image in another way; if that fails it is open as before. */
  async reopen(request: OpenRequest): Promise<void> {
    const before = this.request;
    await this.close();
    try {
      await this.open({ ...request, isOpenAgain: true });
    } catch (error) {
      await this.open({ ...before, isOpenAgain: true });
      const prefix = openPrefix(request);
      if (!(error instanceof Failure) || !error.message.startsWith(prefix)) throw error;
      throw new Failure(error.message.slice(prefix.length));
    }
  }

  /**
   * Begins a request and does not wait for it.
   *
   * @param run gives what is to be printed when it is done; it does not fail
   */
  begin(run: () => Promise<() => void>): void {
    const pending: Pending = {
      print: undefined,
      ended: run().then((print) => {
        pending.print = print;
        if (this.#isIdle) this.deliver();
      }),
    };
    this.#pending.push(pending);
  }

  /** Prints what has ended, in the order in which it was begun. */
  deliver(): void {
    for (const pending of [...this.#pending]) {
      if (pending.print === undefined) continue;
      this.#pending.splice(this.#pending.indexOf(pending), 1);
      pending.print();
    }
  }

  /** Waits for something that has nothing to do with the image: what ends meanwhile is printed at once. */
  async idle<T>(wait: () => Promise<T>): Promise<T> {
    this.#isIdle = true;
    this.deliver();
    try {
      return await wait();
    } finally {
      this.#isIdle = false;
    }
  }

  /** Waits for all that was begun. */
  async settleAll(): Promise<void> {
    await Promise.all(this.#pending.map(({ ended }) => ended));
    this.deliver();
  }
}

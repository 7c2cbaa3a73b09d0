/** A tab with the harness page, seen from Node. */
import type { Page } from 'playwright';
import type { DemoImage } from '../../scripts/guest/manifest.ts';
import type { BlockdevOptions } from '../../src/client/index.ts';
import { SerialConsole } from '../../test/support/serial-console.ts';
import type { DriveFailure, Harness, MachineOrder, WorkEvent } from './calls.ts';

/** A busy machine takes several times the ten to twenty seconds that Linux needs. */
const BOOT_TIMEOUT_MS = 240_000;

const STOP_TIMEOUT_MS = 120_000;

type Calls = { [Name in keyof Harness]: Awaited<ReturnType<Harness[Name]>> };

export class Tab {
  readonly page: Page;
  /** The serial port of the tab's machine, since it was started. */
  console: SerialConsole;
  /** Hears of the operations of `work`. */
  onWork: (event: WorkEvent) => void = () => undefined;

  private constructor(page: Page) {
    this.page = page;
    this.console = this.#newConsole();
  }

  static async attach(page: Page): Promise<Tab> {
    const tab = new Tab(page);
    await page.exposeFunction('serialOutput', (text: string) => tab.console.feed(text));
    await page.exposeFunction('workEvent', (event: WorkEvent) => tab.onWork(event));
    page.on('close', () => tab.console.close('the tab was closed'));
    page.on('crash', () => tab.console.close('the tab crashed'));
    page.on('pageerror', (error) => tab.console.close(`the page failed: ${error.message}`));
    return tab;
  }

  async visit(address: string): Promise<void> {
    await this.page.goto(address);
    await this.#ready();
  }

  /** As the reload button does: the page hears nothing of it beforehand that it would act on. */
  async reload(): Promise<void> {
    await this.page.reload();
    await this.#ready();
  }

  /** Calls a function of the harness page. @throws Error whose message has the BlockError's kind */
  call<Name extends keyof Harness>(name: Name, ...parameters: Parameters<Harness[Name]>): Promise<Calls[Name]> {
    return this.page.evaluate(
      ([asked, given]) => (harness[asked] as (...all: unknown[]) => unknown)(...given) as Promise<Calls[Name]>,
      [name, parameters] as const,
    );
  }

  /** Boots a guest from the open disk. @returns what it wrote up to its first prompt */
  async boot(guest: DemoImage, order: Omit<MachineOrder, 'memory'> = {}): Promise<string> {
    await this.startBoot(guest, order);
    return this.untilPrompt(guest);
  }

  /** Boots a guest in a worker, from a disk that nobody has open. @returns what it wrote up to its first prompt */
  async bootInWorker(guest: DemoImage, disk: BlockdevOptions): Promise<string> {
    this.console = this.#newConsole();
    await this.call('bootInWorker', { memory: guest.memory, disk });
    return this.untilPrompt(guest);
  }

  /** Starts a guest from the open disk, and waits for nothing. */
  async startBoot(guest: DemoImage, order: Omit<MachineOrder, 'memory'> = {}): Promise<void> {
    this.console = this.#newConsole();
    await this.call('boot', { memory: guest.memory, ...order });
  }

  /** @returns what the guest wrote up to its first prompt */
  async untilPrompt(guest: DemoImage): Promise<string> {
    const first = await this.console.until(guest.ready, BOOT_TIMEOUT_MS);
    return first + (await this.console.until(guest.prompt));
  }

  /** Waits until an error has stopped the tab's machine. @throws Error with what the guest wrote when none does */
  async stopped(): Promise<DriveFailure> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const tooLate = new Promise<never>((_resolve, reject) => {
      const giveUp = (): void =>
        reject(new Error(`Nothing stopped the machine; its guest wrote: ${this.console.text.slice(-2000)}`));
      timer = setTimeout(giveUp, STOP_TIMEOUT_MS);
    });
    try {
      return await Promise.race([this.call('untilStopped'), tooLate]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Types a command at the guest's prompt. @returns what it printed */
  command(guest: DemoImage, command: string): Promise<string> {
    return this.console.command(command, guest.prompt);
  }

  #newConsole(): SerialConsole {
    return new SerialConsole((text) => {
      // Where the page is gone, the console's wait says so.
      this.call('type', text).catch((error: unknown) => this.console.close(String(error)));
    });
  }

  async #ready(): Promise<void> {
    await this.page.waitForFunction(() => 'harness' in globalThis);
  }
}

/** The page as a person uses it: what tests click, read and type. */
import { readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { expect, type Download, type Locator, type Page } from '@playwright/test';

const BOOT_TIMEOUT_MS = 60_000;

export class SpindlePage {
  readonly page: Page;
  readonly #pageErrors: Error[] = [];

  constructor(page: Page) {
    this.page = page;
    page.on('pageerror', (error) => this.#pageErrors.push(error));
  }

  /** @param query such as `?demo=grub` */
  async open(query = ''): Promise<void> {
    // The address of the configuration ends in a folder: a page must work in one.
    await this.page.goto(`./${query}`);
  }

  get start(): Locator {
    return this.page.getByTestId('start');
  }

  get inspector(): Locator {
    return this.page.getByTestId('inspector');
  }

  get error(): Locator {
    return this.page.getByTestId('error');
  }

  /** Errors that reached the window: there are never to be any. */
  get pageErrors(): readonly Error[] {
    return this.#pageErrors;
  }

  /** Chooses files, as with the button. */
  async choose(...paths: string[]): Promise<void> {
    await this.start.waitFor();
    await this.page.getByTestId('file-input').setInputFiles(paths);
  }

  /** Chooses a folder, as with the button. */
  async chooseFolder(path: string): Promise<void> {
    await this.start.waitFor();
    await this.page.getByTestId('folder-input').setInputFiles(path);
  }

  /** Drops what is at these paths, as a file manager does: folders are folders, which no script can pretend. */
  async dropPaths(...paths: readonly string[]): Promise<void> {
    await this.start.waitFor();
    const box = await this.page.getByTestId('drop-zone').boundingBox();
    const place = { x: box!.x + box!.width / 2, y: box!.y + 20 };
    const session = await this.page.context().newCDPSession(this.page);
    const data = { items: [], files: [...paths], dragOperationsMask: 1 };
    for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
      await session.send('Input.dispatchDragEvent', { type, ...place, data });
    }
    await session.detach();
  }

  /** Drops a file onto the page. */
  async drop(path: string): Promise<void> {
    await this.start.waitFor();
    const base64 = readFileSync(path).toString('base64');
    const transfer = await this.page.evaluateHandle(
      async ({ name, data, lastModified }) => {
        const bytes = await (await fetch(`data:application/octet-stream;base64,${data}`)).arrayBuffer();
        const result = new DataTransfer();
        result.items.add(new File([bytes], name, { lastModified }));
        return result;
      },
      { name: basename(path), data: base64, lastModified: Math.trunc(statSync(path).mtimeMs) },
    );
    await this.page.getByTestId('drop-zone').dispatchEvent('drop', { dataTransfer: transfer });
  }

  /** A row of the facts. */
  fact(name: string): Locator {
    return this.page.locator(`[data-testid=facts] dt:text-is("${name}") + dd`);
  }

  /** Answers the boot dialog. */
  async boot(choice: { readonly storage?: 'opfs' | 'indexeddb'; readonly memory?: number } = {}): Promise<void> {
    await this.page.getByTestId('boot').click();
    const dialog = this.page.getByTestId('boot-dialog');
    if (choice.memory !== undefined) await dialog.getByTestId('boot-memory').selectOption(String(choice.memory));
    if (choice.storage !== undefined) {
      await dialog.getByText('Advanced').click();
      await dialog.getByTestId('boot-storage').selectOption(choice.storage);
    }
    await dialog.getByTestId('boot-start').click();
  }

  /** Waits until all that the guest wrote is on stable storage. */
  async flushed(): Promise<void> {
    await expect(this.page.getByTestId('unflushed')).toHaveText('All flushed', { timeout: 15_000 });
  }

  async powerOff(): Promise<void> {
    await this.page.getByTestId('power-off').click();
    await this.start.waitFor();
  }

  /** Downloads the disk the way that needs no file dialog. */
  async download(format: 'qcow2' | 'raw'): Promise<Download> {
    await this.page.getByTestId('download-format').selectOption(format);
    const [download] = await Promise.all([
      this.page.waitForEvent('download'),
      this.page.getByTestId('download').click(),
    ]);
    return download;
  }

  /** The serial terminal of the machine that runs. */
  terminal(): Terminal {
    return new Terminal(this.page);
  }
}

/** A person at the serial terminal. What a wait has found is consumed. */
export class Terminal {
  readonly #page: Page;
  #position = 0;

  constructor(page: Page) {
    this.#page = page;
  }

  async text(): Promise<string> {
    return (await this.#page.getByTestId('serial-log').textContent()) ?? '';
  }

  /** @returns what the guest wrote since the last wait, up to and with the marker */
  async until(marker: string, timeoutMs = BOOT_TIMEOUT_MS): Promise<string> {
    let found = '';
    await expect
      .poll(
        async () => {
          const text = await this.text();
          const at = text.indexOf(marker, this.#position);
          if (at >= 0) found = text.slice(this.#position, at + marker.length);
          return at >= 0 ? marker : text.slice(-2000);
        },
        { timeout: timeoutMs, intervals: [100] },
      )
      .toBe(marker);
    this.#position += found.length;
    return found;
  }

  /** Types a command and waits for the next prompt. @returns what came between the command's echo and the prompt */
  async command(command: string, prompt: string, timeoutMs?: number): Promise<string> {
    await this.#page.getByTestId('terminal-input').focus();
    await this.#page.keyboard.type(command, { delay: 15 });
    await this.#page.keyboard.press('Enter');
    const answer = (await this.until(prompt, timeoutMs)).slice(0, -prompt.length);
    const lines = answer.split('\n');
    return lines.slice(1).join('\n').trim();
  }
}

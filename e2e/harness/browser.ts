/** Chromium with a profile on disk, that can be killed and started again. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type BrowserContext } from 'playwright';
import { chromiumArguments, chromiumPath } from '../../scripts/chromium.ts';
import { Tab } from './tab.ts';

/** A profile: what the browser keeps of a site lives here, across browsers. */
export class Profile implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'spindle-profile-'));
  #browser: Browser | undefined;

  /** Starts a browser on the profile. The one before must be gone. */
  async start(): Promise<Browser> {
    const context = await chromium.launchPersistentContext(this.#folder, {
      executablePath: chromiumPath,
      args: chromiumArguments,
    });
    this.#browser = new Browser(context, browserProcess(this.#folder));
    return this.#browser;
  }

  /**
   * Cuts the last bytes off the log of a site's IndexedDB, as a kill in the middle of a write does. The browser must be gone.
   *
   * @param origin such as `http://127.0.0.1:8080`
   */
  tearIndexedDbLog(origin: string, bytes: number): void {
    const { protocol, hostname, port } = new URL(origin);
    const site = `${protocol.slice(0, -1)}_${hostname}_${port}.indexeddb.leveldb`;
    const folder = join(this.#folder, 'Default', 'IndexedDB', site);
    const logs = readdirSync(folder).filter((name) => name.endsWith('.log'));
    const log = join(folder, logs.toSorted().at(-1)!);
    truncateSync(log, statSync(log).size - bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser?.close();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }
}

export class Browser {
  readonly context: BrowserContext;
  readonly #pid: number;
  #gone = false;

  constructor(context: BrowserContext, pid: number) {
    this.context = context;
    this.#pid = pid;
  }

  /** Opens a tab with the harness page. */
  async newTab(address: string): Promise<Tab> {
    const tab = await Tab.attach(await this.context.newPage());
    await tab.visit(address);
    return tab;
  }

  /** Kills every process of the browser at once, as the machine's out-of-memory killer would. Nothing is asked of it. */
  kill(): void {
    this.#gone = true;
    const processes = [this.#pid, ...descendants(this.#pid)];
    // First they all stand still, so that none lives on to see another one's death.
    for (const signal of ['SIGSTOP', 'SIGKILL'] as const) for (const pid of processes) send(pid, signal);
  }

  /** Ends the browser in good order, unless it was killed; waits until it is gone either way. */
  async close(): Promise<void> {
    if (this.#gone) await untilGone(this.#pid);
    else await this.context.close();
    this.#gone = true;
  }
}

interface Process {
  readonly pid: number;
  readonly parent: number;
  /** Dead, and waiting for its parent to take notice. */
  readonly zombie: boolean;
}

/** @returns undefined for a process that has ended meanwhile */
function processOf(pid: number): Process | undefined {
  try {
    // proc(5): pid (name) state parent …; the name may hold anything, parentheses too.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { pid, parent: Number(parent), zombie: state === 'Z' };
  } catch {
    return undefined;
  }
}

function allProcesses(): Process[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map((pid) => processOf(Number(pid))).filter((found) => found !== undefined);
}

function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

/** The browser that this process started on a profile: no other one has that folder. */
function browserProcess(profile: string): number {
  const found = allProcesses().filter(({ pid, parent }) => {
    if (parent !== process.pid) return false;
    const words = commandLine(pid);
    return words.includes(`--user-data-dir=${profile}`) && !words.some((word) => word.startsWith('--type='));
  });
  const [browser] = found;
  if (found.length !== 1 || browser === undefined) throw new Error(`Found ${found.length} browsers on ${profile}`);
  return browser.pid;
}

function descendants(ancestor: number): number[] {
  const everyone = allProcesses();
  const children = (parent: number): number[] =>
    everyone.filter((each) => each.parent === parent).flatMap(({ pid }) => [pid, ...children(pid)]);
  return children(ancestor);
}

function send(pid: number, signal: 'SIGSTOP' | 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It had ended by itself.
  }
}

async function untilGone(pid: number): Promise<void> {
  for (let found = processOf(pid); found !== undefined && !found.zombie; found = processOf(pid)) {
    await new Promise((resolve) => {
      setTimeout(resolve, 10);
    });
  }
}

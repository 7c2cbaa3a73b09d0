/** Locks between processes: ours and QEMU's respect one another's, and none outlives its process. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { createNodeGraph } from '../../src/node/index.ts';
import { describeWithQemu, qemuImg, runTool, TemporaryFolder } from '../support/qemu.ts';

/** A process that has an image open until it is killed. */
class Holder implements AsyncDisposable {
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess) {
    this.#process = process;
  }

  static async start(program: string, args: readonly string[], ready: RegExp, input?: string): Promise<Holder> {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    if (input !== undefined) child.stdin.write(input);
    let seen = '';
    child.stdout.setEncoding('utf8');
    for await (const text of child.stdout.iterator({ destroyOnReturn: false })) {
      seen += String(text);
      if (ready.test(seen)) return new Holder(child);
    }
    throw new Error(`${program} ended before it had the image open: ${seen}`);
  }

  static qemu(...args: string[]): Promise<Holder> {
    // Its answer to a command says that the image is open.
    return Holder.start('qemu-io', args, /1 MiB/, 'length\n');
  }

  static own(path: string, readOnly: boolean): Promise<Holder> {
    const source = new URL('../../src/node/index.ts', import.meta.url).href;
    const script = `import { createNodeGraph } from '${source}';
      const file = { driver: 'file', filename: ${JSON.stringify(path)} };
      await createNodeGraph().open({ driver: 'qcow2', 'read-only': ${readOnly}, file });
      console.log('1 MiB');
      process.stdin.resume();`;
    return Holder.start(process.execPath, ['--input-type=module', '-e', script], /1 MiB/);
  }

  async kill(): Promise<void> {
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) await this.kill();
  }
}

async function openHere(filename: string, options: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const graph = createNodeGraph();
  const { locking, ...others } = options;
  const file = { driver: 'file', filename, ...(locking === undefined ? {} : { locking }) };
  try {
    await graph.close(await graph.open({ driver: 'qcow2', file, ...others }));
    return 'opened';
  } catch (error) {
    return (error as Error).message;
  }
}

const asks = (path: string) => `\nIs another process using the image [${path}]?`;

describeWithQemu('file locks', () => {
  async function image(folder: TemporaryFolder): Promise<string> {
    const path = folder.file('a.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', path, '1M');
    return path;
  }

  test('an image that qemu-io writes to is refused, in its words', async () => {
    using folder = new TemporaryFolder();
    const path = await image(folder);
    await using holder = await Holder.qemu(path);
    expect(await openHere(path)).toBe(`Failed to get "write" lock${asks(path)}`);
    expect(await openHere(path, { 'read-only': true })).toBe(`Failed to get shared "write" lock${asks(path)}`);
    expect(await openHere(path, { 'read-only': true, 'force-share': true })).toBe('opened');
    expect(await openHere(path, { locking: 'off' })).toBe('opened');
    await holder.kill();
    expect(await openHere(path, { locking: 'on' })).toBe('opened');
  });

  test('beside a reader one may read, not write', async () => {
    using folder = new TemporaryFolder();
    const path = await image(folder);
    await using holder = await Holder.qemu('-r', path);
    expect(await openHere(path, { 'read-only': true })).toBe('opened');
    expect(await openHere(path)).toBe(`Failed to get "write" lock${asks(path)}`);
    await holder.kill();
    expect(await openHere(path)).toBe('opened');
  });

  test('an image that we write to is refused by qemu-img and by another process of ours', async () => {
    using folder = new TemporaryFolder();
    const path = await image(folder);
    await using holder = await Holder.own(path, false);
    const { stderr, code } = await runTool('qemu-img', ['info', path]);
    expect({ stderr, code }).toEqual({
      stderr: `qemu-img: Could not open '${path}': Failed to get shared "write" lock${asks(path)}\n`,
      code: 1,
    });
    expect((await runTool('qemu-img', ['info', '-U', path])).code).toBe(0);
    expect((await runTool('qemu-img', ['create', '-f', 'qcow2', path, '1M'])).stderr).toContain('"write" lock');
    expect(await openHere(path)).toBe(`Failed to get "write" lock${asks(path)}`);
    await expect(createNodeGraph().drivers.protocols[0]!.create!({ filename: path }, 0)).rejects.toThrow(
      'Failed to get "write" lock',
    );
    // A process that dies takes its locks along.
    await holder.kill();
    expect((await runTool('qemu-img', ['info', path])).code).toBe(0);
    expect(await openHere(path)).toBe('opened');
  });

  test('an image that we read can be read by qemu-img, and not be written', async () => {
    using folder = new TemporaryFolder();
    const path = await image(folder);
    await using holder = await Holder.own(path, true);
    expect((await runTool('qemu-img', ['info', path])).code).toBe(0);
    const { stdout, stderr } = await runTool('qemu-io', ['-c', 'write 0 512', path]);
    expect(stdout + stderr).toContain('Failed to get "write" lock');
    await holder.kill();
    expect((await runTool('qemu-io', ['-c', 'write 0 512', path])).code).toBe(0);
  });
});

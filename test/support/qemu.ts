/** QEMU's own tools, for tests that compare with them, and temporary folders for the files they work on. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe } from 'vitest';
import type { SparseBytes } from './sparse-bytes.ts';

export interface ToolResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a tool and returns what it printed, whatever its exit code. */
export function runTool(tool: 'qemu-img' | 'qemu-io', args: readonly string[]): Promise<ToolResult> {
  return new Promise((resolve, reject) => {
    execFile(
      tool,
      args,
      { maxBuffer: 64 * 2 ** 20, timeout: 60_000, killSignal: 'SIGKILL' },
      (error, stdout, stderr) => {
        if (error === null) resolve({ code: 0, stdout, stderr });
        else if (typeof error.code === 'number') resolve({ code: error.code, stdout, stderr });
        else reject(new Error(`${tool} could not be run: ${error.message}`, { cause: error }));
      },
    );
  });
}

/** Runs qemu-img. @returns what it printed. @throws when it fails, with its message */
export async function qemuImg(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runTool('qemu-img', args);
  if (code !== 0) throw new Error(`qemu-img ${args.join(' ')}: exit code ${code}\n${stdout}${stderr}`);
  return stdout;
}

/** Runs qemu-io commands on an image. @throws when one fails, a pattern mismatch included */
export async function qemuIo(image: string, format: string, ...commands: string[]): Promise<string> {
  const { code, stdout, stderr } = await runTool('qemu-io', [
    '-f',
    format,
    ...commands.flatMap((text) => ['-c', text]),
    image,
  ]);
  if (code !== 0 || /Pattern verification failed|failed:/.test(stdout)) {
    throw new Error(`qemu-io ${commands.join('; ')}: exit code ${code}\n${stdout}${stderr}`);
  }
  return stdout;
}

/** `qemu-img check --output=json`, as QEMU names its fields; a field that is zero may be missing. */
export interface QemuCheck {
  readonly 'image-end-offset'?: number;
  readonly 'total-clusters'?: number;
  readonly 'allocated-clusters'?: number;
  readonly 'fragmented-clusters'?: number;
  readonly 'compressed-clusters'?: number;
  readonly 'check-errors': number;
  readonly corruptions?: number;
  readonly leaks?: number;
  readonly 'corruptions-fixed'?: number;
  readonly 'leaks-fixed'?: number;
}

/** @returns the counts, or undefined when qemu-img refused the image; the findings are in `stderr` */
export async function qemuCheck(
  path: string,
  format: string,
  repair?: 'leaks' | 'all',
): Promise<{
  readonly counts: QemuCheck | undefined;
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}> {
  const repairArgs = repair === undefined ? [] : ['-r', repair];
  const result = await runTool('qemu-img', ['check', '--output=json', '-f', format, ...repairArgs, path]);
  const start = result.stdout.indexOf('{');
  const counts = start < 0 ? undefined : (JSON.parse(result.stdout.slice(start)) as QemuCheck);
  return { counts, ...result };
}

/** A folder for a test's files, removed with `using`. */
export class TemporaryFolder implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), 'spindle-test-'));

  file(name: string): string {
    return join(this.path, name);
  }

  /** Copies bytes into a file of the folder. @returns its path */
  write(name: string, content: Uint8Array | SparseBytes): string {
    const path = this.file(name);
    writeFileSync(path, content instanceof Uint8Array ? content : content.toBytes());
    return path;
  }

  read(name: string): Uint8Array {
    return new Uint8Array(readFileSync(this.file(name)));
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

function missingTool(): string | undefined {
  for (const tool of ['qemu-img', 'qemu-io']) {
    try {
      execFileSync(tool, ['--version'], { stdio: 'ignore' });
    } catch {
      return tool;
    }
  }
  return undefined;
}

const missing = missingTool();

/** `describe` where QEMU's tools are there; elsewhere the tests are skipped, and their title says why. */
export const describeWithQemu: (title: string, tests: () => void) => void =
  missing === undefined
    ? describe
    : (title, tests) =>
        describe.skip(`${title} (skipped: ${missing} is not installed; Debian has it in qemu-utils)`, tests);

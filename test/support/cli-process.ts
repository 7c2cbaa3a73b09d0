/** Programs as processes of their own: how they end, what they print, and small disks for them to fill. */
import { execFileSync, spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import type { ToolResult } from './qemu.ts';

/** Starts a program of the project. */
export function beginProgram(
  program: string,
  args: readonly string[],
  stdio: StdioOptions = ['ignore', 'pipe', 'pipe'],
): ChildProcess {
  return spawn(process.execPath, [program, ...args], { stdio });
}

/** Waits for the end. @returns its exit code, or the signal that ended it */
export async function ended(child: ChildProcess): Promise<ToolResult & { readonly signal: string | null }> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (data: Buffer) => (stdout += data.toString()));
  child.stderr?.on('data', (data: Buffer) => (stderr += data.toString()));
  return await new Promise((resolve) => {
    child.on('close', (code, signal) => resolve({ code: code ?? -1, signal, stdout, stderr }));
  });
}

/** Waits until a text has come out of a program. */
export async function untilPrinted(child: ChildProcess, text: string): Promise<void> {
  let printed = '';
  await new Promise<void>((resolve, reject) => {
    child.stdout?.on('data', (data: Buffer) => {
      printed += data.toString();
      if (printed.includes(text)) resolve();
    });
    child.on('close', () => reject(new Error(`It ended without printing '${text}': ${printed}`)));
  });
}

/** A folder that holds 1 MiB and no more, while the work is done. Needs root. */
export async function onSmallDisk(place: string, work: (place: string) => Promise<void>): Promise<void> {
  mkdirSync(place);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1M', 'tmpfs', place]);
  try {
    await work(place);
  } finally {
    execFileSync('umount', [place]);
  }
}

/** QEMU's own tools, as the oracle. */
import { execFileSync, spawnSync } from 'node:child_process';
import { test } from '@playwright/test';

const TIMEOUT_MS = 60_000;

/** Skips a test where the tools are missing. */
export function requireQemu(): void {
  const { error } = spawnSync('qemu-img', ['--version'], { timeout: TIMEOUT_MS });
  test.skip(error !== undefined, 'qemu-img is not installed');
}

/** @throws Error when it fails, with its message */
export function qemuImg(...args: string[]): string {
  return execFileSync('qemu-img', args, { encoding: 'utf8', timeout: TIMEOUT_MS, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Runs qemu-io commands on an image. */
export function qemuIo(image: string, format: string, ...commands: string[]): string {
  const parameters = ['-f', format, ...commands.flatMap((command) => ['-c', command]), image];
  return execFileSync('qemu-io', parameters, { encoding: 'utf8', timeout: TIMEOUT_MS });
}

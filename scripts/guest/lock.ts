import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const pollMs = 100;

/**
 * Runs `body` while no other process runs one under the same lock file; waits for the other's end. A lock whose holder
 * has died is taken over.
 */
export async function withLock<T>(file: string, body: () => T): Promise<T> {
  mkdirSync(dirname(file), { recursive: true });
  while (!take(file)) {
    if (holderIsGone(file)) rmSync(file, { force: true });
    else await sleep(pollMs);
  }
  try {
    return body();
  } finally {
    rmSync(file, { force: true });
  }
}

function take(file: string): boolean {
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

function holderIsGone(file: string): boolean {
  try {
    const holder = Number(readFileSync(file, 'utf8'));
    // An empty file: its holder is between creating and writing it.
    if (holder === 0) return false;
    process.kill(holder, 0);
    return false;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ESRCH') return true;
    // The lock was given back meanwhile, or its holder belongs to somebody else.
    if (code === 'ENOENT' || code === 'EPERM') return false;
    throw error;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

/** A folder of papers, and GRUB with it as its second disk. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from './fixtures.ts';
import type { SpindlePage, Terminal } from './spindle-page.ts';

export const PROMPT = 'grub> ';

/** @returns the folder's path */
export function makeFolder(parent: string): string {
  const path = join(parent, 'papers');
  mkdirSync(join(path, 'Letters of 1851', 'drafts'), { recursive: true });
  writeFileSync(join(path, 'hello.txt'), 'hello from a folder\n');
  writeFileSync(join(path, 'Letters of 1851', 'To the publisher.txt'), 'sir\n');
  writeFileSync(join(path, 'Letters of 1851', 'drafts', 'one.txt'), '1\n');
  return path;
}

export async function bootGrubWithFolder(spindle: SpindlePage): Promise<void> {
  await spindle.page.getByTestId('boot').click();
  await expect(spindle.page.getByTestId('machine-dialog')).toContainText('your files are only read');
  await spindle.page.getByTestId('machine-choice').selectOption({ label: 'GRUB shell (new)' });
  await spindle.page.getByTestId('machine-start').click();
}

export async function readyGrub(spindle: SpindlePage): Promise<Terminal> {
  const terminal = spindle.terminal();
  await terminal.until('GRUB-READY');
  await terminal.until(PROMPT);
  return terminal;
}

/** Command lines that are run through qemu-img and spindle-img alike, and must answer alike. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { runCommand } from '../../src/cli/img/main.ts';
import { refreshCopy } from './folder-copies.ts';
import { runTool, type ToolResult } from './qemu.ts';

/** Runs spindle-img in this process. */
export async function spindleImg(...args: string[]): Promise<ToolResult> {
  let stdout = '';
  let stderr = '';
  const code = await runCommand(args, {
    out: (text) => {
      stdout += text;
    },
    error: (text) => {
      stderr += text;
    },
  });
  return { code, stdout, stderr };
}

/** One line of a table. */
interface TableLine {
  readonly text: string;
  /** One command line after the other. */
  readonly commands: readonly (readonly string[])[];
  /** Images that must be the same disk afterwards. */
  readonly images: readonly string[];
  /** Our own words are better: only what is on stdout, and whether it failed, is compared. */
  readonly ownWords: boolean;
}

/**
 * Reads a table: one test a line. `a; b` are two command lines, `=> x.qcow2` names images to compare afterwards, `~` in front says
 * that what is on stderr is in our own words. Words with spaces stand in single quotes.
 */
export function tableLines(table: string): (readonly [text: string, line: TableLine])[] {
  return table
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((text) => {
      const ownWords = text.startsWith('~');
      const [commands = '', images = ''] = text.replace(/^~\s*/, '').split('=>');
      const line = {
        text,
        commands: commands.split(/;\s/).map((command) => words(command)),
        images: words(images),
        ownWords,
      };
      return [text, line] as const;
    });
}

function words(text: string): string[] {
  return [...text.matchAll(/'([^']*)'|\S+/g)].map((match) => match[1] ?? match[0]);
}

/** Two tools that must answer alike. */
export interface ToolPair {
  theirs(args: readonly string[]): Promise<ToolResult>;
  ours(args: readonly string[]): Promise<ToolResult>;
  /** What no two runs have in common is taken out. */
  plain(text: string): string;
}

export const imageTools: ToolPair = {
  theirs: (args) => runTool('qemu-img', args),
  ours: (args) => spindleImg(...args),
  plain: (text) =>
    text
      .replaceAll(/(qemu|spindle)-img(?=: )/g, 'IMG')
      .replaceAll(/'(qemu|spindle)-img --help'/g, "'IMG --help'")
      .replaceAll(/#block\d+/g, '#block')
      // Two tools are never run in the same moment.
      .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'DATE')
      .replaceAll(/"date-n?sec": \d+/g, '"date": 0')
      .replaceAll(/completed in [\d.]+ seconds/g, 'completed'),
};

/** Where each of two tools works. */
export interface TwoFolders {
  readonly theirs: string;
  readonly ours: string;
}

/** Runs a line in two copies of a folder, once with each tool, and compares. */
export async function compareTools(
  fixture: string,
  work: string,
  line: TableLine,
  tools: ToolPair = imageTools,
): Promise<void> {
  const folders = freshFolders(fixture, work);
  const before = process.cwd();
  try {
    for (const [index, command] of line.commands.entries()) {
      const { ours, theirs } = await runBoth(folders, command, tools);
      const [found, wanted] = [ours, theirs].map((result) => normalised(tools, result, line.ownWords, index > 0));
      expect(found, command.join(' ')).toEqual(wanted);
    }
  } finally {
    process.chdir(before);
  }
  for (const image of line.images) await sameImage(join(folders.theirs, image), join(folders.ours, image));
}

/** Two copies of a folder, as they were made. */
export function freshFolders(fixture: string, work: string): TwoFolders {
  const folders = { theirs: join(work, 'theirs'), ours: join(work, 'ours') };
  for (const folder of Object.values(folders)) refreshCopy(fixture, folder);
  return folders;
}

/** Leaves the process in the folder of ours. */
export async function runBoth(
  { theirs, ours }: TwoFolders,
  command: readonly string[],
  tools: ToolPair,
): Promise<{ readonly ours: ToolResult; readonly theirs: ToolResult }> {
  process.chdir(theirs);
  const wanted = await tools.theirs(command);
  process.chdir(ours);
  return { theirs: wanted, ours: await tools.ours(command) };
}

/** @param changed commands before have written: how much space that takes is each tool's own affair */
function normalised(
  tools: ToolPair,
  { code, stdout, stderr }: ToolResult,
  ownWords: boolean,
  changed: boolean,
): ToolResult {
  const message = ownWords ? (stderr === '' ? '' : 'MESSAGE') : tools.plain(stderr);
  const plain = tools.plain(stdout);
  const output = changed ? plain.replaceAll(/^disk size: .*|"actual-size": \d+/gm, 'SPACE') : plain;
  return { code, stdout: output, stderr: message };
}

/** Both are there and hold the same disk, in qemu-img's eyes; ours passes its check. */
async function sameImage(theirs: string, ours: string): Promise<void> {
  expect(existsSync(ours), `${ours} exists`).toBe(existsSync(theirs));
  if (!existsSync(theirs) || haveSameBytes(theirs, ours)) return;
  const compared = await runTool('qemu-img', ['compare', '-U', theirs, ours]);
  expect(compared, ours).toEqual({ code: 0, stdout: 'Images are identical.\n', stderr: '' });
  // Raw images have nothing to check: why begin a process to be told so.
  if (ours.endsWith('.raw')) return;
  const checked = await runTool('qemu-img', ['check', '-U', ours]);
  // 63: a format without checks.
  expect([0, 63], checked.stdout + checked.stderr).toContain(checked.code);
}

/** Nothing is left to compare, and no process has to be started for it. Larger files are left to qemu-img. */
export function haveSameBytes(theirs: string, ours: string): boolean {
  const sizes = [theirs, ours].map((path) => statSync(path).size);
  if (sizes[0] !== sizes[1] || sizes[0]! > 64 * 2 ** 20) return false;
  return readFileSync(theirs).equals(readFileSync(ours));
}

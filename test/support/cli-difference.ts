/** What differs between two tools that were given the same command line. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { formatOf, NONSENSE } from './cli-random.ts';
import { freshFolders, haveSameBytes, runBoth, type ToolPair } from './cli-table.ts';
import { changedFiles } from './folder-copies.ts';
import { runTool, type ToolResult } from './qemu.ts';

/** Output, exit code, and the files that were changed, as two texts that are the same if nothing differs. */
export interface TwoOutcomes {
  readonly theirs: string;
  readonly ours: string;
}

/** Runs a command line with both tools, each in a copy of a folder. */
export async function outcomesOf(
  fixture: string,
  work: string,
  command: readonly string[],
  tools: ToolPair,
): Promise<TwoOutcomes> {
  const folders = freshFolders(fixture, work);
  const before = process.cwd();
  try {
    const { theirs, ours } = await runBoth(folders, command, tools);
    // Where several things are wrong, which one is named is chance.
    if (theirs.code !== 0 && ours.code !== 0 && NONSENSE.some((word) => command.includes(word))) {
      return { theirs: `exit code ${theirs.code}`, ours: `exit code ${ours.code}` };
    }
    const names = new Set(Object.values(folders).flatMap((folder) => changedFiles(fixture, folder)));
    const files: TwoOutcomes[] = [];
    for (const name of [...names].toSorted()) {
      // What came to nothing is not left, and does not replace what was there.
      if (theirs.code !== 0 && ours.code !== 0 && name === 'new.img') continue;
      files.push(await outcomesOfFile(name, join(folders.theirs, name), join(folders.ours, name), newFormat(command)));
    }
    return {
      theirs: [shown(theirs, tools), ...files.map(({ theirs: text }) => text)].join('\n'),
      ours: [shown(ours, tools), ...files.map(({ ours: text }) => text)].join('\n'),
    };
  } finally {
    process.chdir(before);
  }
}

function shown({ code, stdout, stderr }: ToolResult, tools: ToolPair): string {
  return `exit code ${code}\n${tools.plain(stdout)}--- stderr\n${tools.plain(stderr)}---`;
}

/** The format of the image that a command makes. */
function newFormat(command: readonly string[]): string {
  const at = command.lastIndexOf(command[0] === 'create' ? '-f' : '-O');
  return at < 0 ? 'raw' : command[at + 1]!;
}

async function outcomesOfFile(name: string, theirs: string, ours: string, format: string): Promise<TwoOutcomes> {
  const there = (path: string) => `${name}: ${existsSync(path) ? 'there' : 'not there'}`;
  if (!existsSync(theirs) || !existsSync(ours)) return { theirs: there(theirs), ours: there(ours) };
  if (haveSameBytes(theirs, ours)) return { theirs: `${name}: same`, ours: `${name}: same` };
  const driver = name === 'new.img' ? format : formatOf(name);
  const compared = await runTool('qemu-img', ['compare', '-U', '-f', driver, '-F', driver, theirs, ours]);
  // 2: one that cannot be opened without more, such as a LUKS disk without its passphrase.
  const same = compared.code === 0 || compared.code === 2 ? 'same' : compared.stdout.trim();
  const [first, second] = [
    await runTool('qemu-img', ['check', '-U', '-f', driver, theirs]),
    await runTool('qemu-img', ['check', '-U', '-f', driver, ours]),
  ];
  return {
    theirs: `${name}: same, check ${first.code}`,
    // Ours may be the sounder one.
    ours: `${name}: ${same}, check ${second.code === 0 ? first.code : second.code}`,
  };
}

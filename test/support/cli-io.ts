/** qemu-io and spindle-io as a pair, for tables of command lines. */
import { runIo } from '../../src/cli/io/main.ts';
import type { ToolPair } from './cli-table.ts';
import { runTool, type ToolResult } from './qemu.ts';

/** Runs spindle-io in this process. @param lines what is typed, where no commands are given */
export async function spindleIo(args: readonly string[], lines: readonly string[] = []): Promise<ToolResult> {
  let stdout = '';
  let stderr = '';
  const terminal = {
    out: (text: string) => {
      stdout += text;
    },
    error: (text: string) => {
      stderr += text;
    },
  };
  const code = await runIo(args, terminal, typed(lines));
  return { code, stdout, stderr };
}

// oxlint-disable-next-line require-await
async function* typed(lines: readonly string[]): AsyncGenerator<string, void> {
  yield* lines;
}

/** Times and rates, the names of the programs, and what is help in each one's own words. */
export function plainIo(text: string): string {
  return text
    .replaceAll(/(qemu|spindle)-io/g, 'IO')
    .replaceAll(/ops; [\d:.]+( sec)? \([^)]*\)/g, 'ops; TIME')
    .replaceAll(/,\d+:\d\d:\d\d\.\d\d,[\d.]+,[\d.]+/g, ',TIME')
    .replaceAll(/^([a-z_]+ .*?) ?-- .*$/gm, '$1 -- SUMMARY')
    .replaceAll(/^Usage: [^]*/gm, 'USAGE');
}

export const ioTools: ToolPair = {
  theirs: (args) => runTool('qemu-io', args),
  ours: spindleIo,
  plain: plainIo,
};

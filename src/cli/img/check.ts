/** `check`: whether an image's metadata is sound, and its repair. */
import {
  BlockError,
  checkImage,
  startAsync,
  type BlockBackend,
  type CheckFix,
  type CheckResult,
} from '../../node/index.ts';
import { Failure, usageError } from '../shared/failure.ts';
import { prettyJson } from '../shared/json.ts';
import { hundredths } from '../shared/progress.ts';
import type { Session } from '../shared/session.ts';
import { requestMessage } from '../shared/words.ts';
import { COMMON_LONG, onlyImage, sourceCache, wantsJson, type Command } from './command.ts';

const UNSUPPORTED = 63;
/** Formats of which qemu-img does not say where the last used cluster ends. */
const NO_END: ReadonlySet<string> = new Set(['qed', 'vdi', 'vmdk', 'vhdx']);
/** Formats of which it does not say how many clusters there are. */
const NO_COUNTS: ReadonlySet<string> = new Set(['vhdx']);

export const check: Command = {
  options: {
    short: 'hf:qr:T:U',
    long: { ...COMMON_LONG, format: 'f:', repair: 'r:', output: 'output:', 'force-share': 'U' },
  },
  async run(session, given) {
    const fix = repairOf(given.value('r'));
    const image = onlyImage(given);
    const json = wantsJson(given);
    const cache = sourceCache(given);
    const quiet = given.has('q');
    const forceShare = given.has('U');
    const disk = await session.open(image, { readOnly: fix === 'none', check: true, forceShare, cache });
    const first = await runCheck(session, disk, fix);
    const repaired = first.leaksFixed > 0 || first.corruptionsFixed > 0;
    if (repaired && !json && !quiet) session.out(repairText(first));
    const last = repaired ? await runCheck(session, disk, 'none') : first;
    const format = disk.node.driver.name;
    const result = {
      ...last,
      leaksFixed: first.leaksFixed,
      corruptionsFixed: first.corruptionsFixed,
      ...(NO_END.has(format) ? { imageEndOffset: 0 } : {}),
      ...(NO_COUNTS.has(format) ? { totalClusters: 0, allocatedClusters: 0, fragmentedClusters: 0 } : {}),
    };
    await session.close(disk);
    if (!quiet) {
      session.out(json ? `${prettyJson(jsonResult(result, image.name, format))}\n` : humanResult(result));
    }
    if (result.checkErrors > 0) throw new Failure('Check failed');
    return result.corruptions > 0 ? 2 : result.leaks > 0 ? 3 : 0;
  },
};

function repairOf(value: string | undefined): CheckFix {
  if (value === undefined) return 'none';
  if (value === 'leaks' || value === 'all') return value;
  throw usageError(`Unknown option value for -r (expecting 'leaks' or 'all'): ${value}`);
}

async function runCheck(session: Session, disk: BlockBackend, fix: CheckFix): Promise<CheckResult> {
  try {
    const result = await startAsync(checkImage(session.graph, disk.node, fix));
    for (const { message, fixed } of result.findings) {
      session.terminal.error(`${fixed ? message.replace(/^(ERROR|Leaked) /, 'Repairing ') : message}\n`);
    }
    return result;
  } catch (error) {
    if (error instanceof BlockError && error.kind === 'unsupported') {
      throw new Failure('This image format does not support checks', { exitCode: UNSUPPORTED });
    }
    throw new Failure(`Check failed: ${requestMessage(error)}`);
  }
}

function repairText({ leaksFixed, corruptionsFixed }: CheckResult): string {
  return (
    `The following inconsistencies were found and repaired:\n\n    ${leaksFixed} leaked clusters\n` +
    `    ${corruptionsFixed} corruptions\n\nDouble checking the fixed image now...\n`
  );
}

function humanResult(result: CheckResult): string {
  const { corruptions, leaks, checkErrors, totalClusters, allocatedClusters, imageEndOffset } = result;
  const parts: string[] = [];
  if (corruptions + leaks + checkErrors === 0) parts.push('No errors were found on the image.\n');
  if (corruptions > 0) {
    parts.push(
      `\n${corruptions} errors were found on the image.\n` +
        'Data may be corrupted, or further writes to the image may corrupt it.\n',
    );
  }
  if (leaks > 0) {
    parts.push(
      `\n${leaks} leaked clusters were found on the image.\nThis means waste of disk space, but no harm to data.\n`,
    );
  }
  if (checkErrors > 0) parts.push(`\n${checkErrors} internal errors have occurred during the check.\n`);
  if (totalClusters > 0 && allocatedClusters > 0) {
    const percent = (part: number, whole: number) => `${hundredths((part * 100) / whole)}%`;
    parts.push(
      `${allocatedClusters}/${totalClusters} = ${percent(allocatedClusters, totalClusters)} allocated, ` +
        `${percent(result.fragmentedClusters, allocatedClusters)} fragmented, ` +
        `${percent(result.compressedClusters, allocatedClusters)} compressed clusters\n`,
    );
  }
  if (imageEndOffset > 0) parts.push(`Image end offset: ${imageEndOffset}\n`);
  return parts.join('');
}

function jsonResult(result: CheckResult, filename: string, format: string): Record<string, unknown> {
  const unlessZero = (value: number) => (value === 0 ? undefined : value);
  return {
    filename,
    format,
    'check-errors': result.checkErrors,
    'image-end-offset': unlessZero(result.imageEndOffset),
    corruptions: unlessZero(result.corruptions),
    leaks: unlessZero(result.leaks),
    'corruptions-fixed': unlessZero(result.corruptionsFixed),
    'leaks-fixed': unlessZero(result.leaksFixed),
    'total-clusters': unlessZero(result.totalClusters),
    'allocated-clusters': unlessZero(result.allocatedClusters),
    'fragmented-clusters': unlessZero(result.fragmentedClusters),
    'compressed-clusters': unlessZero(result.compressedClusters),
  };
}

/** What is printed of a request: its timing, its bytes, its failure. */
import { strerror } from '../shared/words.ts';
import { CommandError, isMismatch } from './command.ts';
import type { IoContext } from './context.ts';
import { sizeText, timeText } from './numbers.ts';

export interface Report {
  /** `read`, `wrote`, `discard`. */
  readonly verb: string;
  readonly offset: number;
  /** Bytes that were asked for. */
  readonly count: number;
  readonly seconds: number;
  /** As numbers between commas. */
  readonly machine: boolean;
}

export function printReport(context: IoContext, { verb, offset, count, seconds, machine }: Report): void {
  // Nothing takes no time: the rates stay finite.
  const time = Math.max(seconds, 1e-9);
  if (machine) {
    const rates = `${(count / time).toFixed(3)},${(1 / time).toFixed(3)}`;
    context.out(`${count},1,${timeText(seconds, true)},${rates}\n`);
    return;
  }
  context.out(`${verb} ${count}/${count} bytes at offset ${offset}\n`);
  const rates = `${sizeText(count / time)}/sec and ${(1 / time).toFixed(4)} ops/sec`;
  context.out(`${sizeText(count)}, 1 ops; ${timeText(seconds, false)} (${rates})\n`);
}

const BYTES_PER_LINE = 16;

/** Prints bytes in hexadecimal and as text, with the offset that each line begins at. */
export function printDump(context: IoContext, bytes: Uint8Array, offset: number): void {
  for (let at = 0; at < bytes.length; at += BYTES_PER_LINE) {
    const line = [...bytes.subarray(at, at + BYTES_PER_LINE)];
    const hex = line.map((byte) => `${byte.toString(16).padStart(2, '0')} `).join('');
    const text = line.map((byte) => (isGraphic(byte) ? String.fromCharCode(byte) : '.')).join('');
    context.out(`${(offset + at).toString(16).padStart(8, '0')}:  ${hex} ${text}\n`);
  }
}

function isGraphic(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a);
}

/** A request that failed, as the C library names it. */
export function failureOf(what: string, error: unknown): Error {
  if (error instanceof Error && isMismatch(error)) return error;
  return new CommandError(`${what} failed: ${strerror(error)}`);
}

/**
 * Runs a request. What was begun before and has ended meanwhile is printed first.
 *
 * @returns how many seconds it took. @throws CommandError `read failed: …`
 */
export async function timed(context: IoContext, what: string, request: () => unknown): Promise<number> {
  const begin = performance.now();
  try {
    await request();
  } catch (error) {
    throw failureOf(what, error);
  } finally {
    context.deliver();
  }
  return (performance.now() - begin) / 1000;
}

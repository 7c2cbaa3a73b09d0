/** `amend`: changing what an image was created with. */
import { amendImage, BlockError, startAsync } from '../../node/index.ts';
import { formatNamed, optionHelp, readValues } from '../shared/create-options.ts';
import { Failure, usageError } from '../shared/failure.ts';
import { asksForHelp, parseKeyValues } from '../shared/key-values.ts';
import { ProgressLine } from '../shared/progress.ts';
import type { Session } from '../shared/session.ts';
import { requestMessage } from '../shared/words.ts';
import { COMMON_LONG, onlyImage, optionLists, targetCache, type Command } from './command.ts';

export const amend: Command = {
  options: { short: 'ho:f:t:pq', long: { ...COMMON_LONG, force: 'force' } },
  async run(session, given) {
    const texts = optionLists(given);
    if (texts.length === 0) throw usageError('Must specify options (-o)');
    const format = given.value('f');
    if (format !== undefined && texts.some(asksForHelp)) return showOptions(session, format);
    if (given.operands.length !== 1) throw new Failure('Expecting one image file name');
    const cache = targetCache(given, 'writeback');
    const disk = await session.open(onlyImage(given), { readOnly: false, cache });
    if (texts.some(asksForHelp)) return showOptions(session, disk.node.driver.name);
    const progress = new ProgressLine(session.terminal, given.has('p') && !given.has('q'));
    try {
      const options = amendValues(session, disk.node.driver.name, texts);
      const settings = { progress, force: given.has('force') };
      await startAsync(amendImage(session.graph, disk.node, options, settings));
      progress.finish();
    } catch (error) {
      throw amendFailure(error);
    } finally {
      progress.end();
    }
    await session.close(disk);
    return 0;
  },
};

/** Sizes and switches are checked here, in qemu-img's words; whether the format takes them is for it to say. */
function amendValues(session: Session, format: string, texts: readonly string[]): Record<string, string | number> {
  const given = Object.assign({}, ...texts.map((text) => parseKeyValues(text))) as Record<string, string>;
  const schema = formatNamed(session.graph.drivers, format).amendOptions;
  if (schema === undefined || Object.keys(given).some((name) => !Object.hasOwn(schema, name))) return given;
  return readValues(schema, texts);
}

function showOptions(session: Session, format: string): number {
  const driver = formatNamed(session.graph.drivers, format);
  if (driver.amendOptions === undefined) {
    throw new Failure(`Format driver '${format}' does not support option amendment`);
  }
  session.out(optionHelp(`Amend options for '${format}':`, driver.amendOptions));
  return 0;
}

function amendFailure(error: unknown): unknown {
  if (!(error instanceof BlockError)) return error;
  return error.kind === 'io' || error.kind === 'no-space' ? new Failure(requestMessage(error)) : error;
}

/** `map`: where the data of a disk is. */
import { fileOf, imageMap, startAsync, type BlockStatus } from '../../node/index.ts';
import { Failure } from '../shared/failure.ts';
import type { Session } from '../shared/session.ts';
import { sizeArgument } from '../shared/sizes.ts';
import { requestMessage } from '../shared/words.ts';
import { COMMON_LONG, onlyImage, wantsJson, type Command } from './command.ts';

/** Lines are printed in lots of this many. */
const LOT = 1000;

export const map: Command = {
  options: {
    short: 'f:s:l:hU',
    long: {
      ...COMMON_LONG,
      format: 'f:',
      output: 'output:',
      'force-share': 'U',
      'start-offset': 's:',
      'max-length': 'l:',
    },
  },
  async run(session, given) {
    const startText = given.value('s');
    const lengthText = given.value('l');
    const offset = startText === undefined ? 0 : sizeArgument('start offset', startText);
    const most = lengthText === undefined ? Number.MAX_SAFE_INTEGER : sizeArgument('max length', lengthText);
    const image = onlyImage(given);
    const json = wantsJson(given);
    const disk = await session.open(image, { readOnly: true, forceShare: given.has('U') });
    const end = Math.min(disk.length, offset + most);
    const printer = json ? new JsonPrinter(session) : new HumanPrinter(session);
    try {
      const none = { offset, length: 0, depth: 0, present: false, data: false, zero: false, compressed: false };
      if (end > offset) await startAsync(imageMap(disk.node, offset, end - offset, (status) => printer.add(status)));
      else printer.add(none);
    } catch (error) {
      if (error instanceof Failure) throw error;
      throw new Failure(`Could not read file metadata: ${requestMessage(error)}`);
    } finally {
      printer.flush();
    }
    printer.finish();
    return 0;
  },
};

/** Joins lines: a disk of a million extents is not a million writes. */
class Lines {
  readonly #session: Session;
  #lines: string[] = [];

  constructor(session: Session) {
    this.#session = session;
  }

  print(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length >= LOT) this.flush();
  }

  flush(): void {
    if (this.#lines.length > 0) this.#session.out(this.#lines.join(''));
    this.#lines = [];
  }
}

/** qemu-img does not tell compressed data apart here. */
class JsonPrinter extends Lines {
  #separator = '';

  constructor(session: Session) {
    super(session);
    this.print('[');
  }

  add({ offset, length, depth, present, zero, data, hostOffset }: BlockStatus): void {
    const place = hostOffset === undefined ? '' : `, "offset": ${hostOffset}`;
    this.print(
      `${this.#separator}{ "start": ${offset}, "length": ${length}, "depth": ${depth}, "present": ${present}, ` +
        `"zero": ${zero}, "data": ${data}${place}}`,
    );
    this.#separator = ',\n';
  }

  finish(): void {
    this.print(']\n');
    this.flush();
  }
}

class HumanPrinter extends Lines {
  readonly #session: Session;

  constructor(session: Session) {
    super(session);
    this.#session = session;
    this.print(`${'Offset'.padEnd(16)}${'Length'.padEnd(16)}${'Mapped to'.padEnd(16)}File\n`);
  }

  /** @throws Failure for data that is not stored as it is */
  add({ offset, length, data, zero, hostOffset, hostNode }: BlockStatus): void {
    if (!data || zero) return;
    if (hostOffset === undefined || hostNode === undefined) {
      throw new Failure('File contains external, encrypted or compressed clusters.');
    }
    const node = this.#session.graph.find(hostNode);
    const filename = node === undefined ? '' : (fileOf(node)?.filename ?? '');
    this.print(`${hex(offset)}${hex(length)}${hex(hostOffset)}${filename}\n`);
  }

  finish(): void {
    this.flush();
  }
}

function hex(value: number): string {
  return (value === 0 ? '0' : `0x${value.toString(16)}`).padEnd(16);
}

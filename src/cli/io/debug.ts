/** `break`, `remove_break`, `resume`, `wait_break`, `sleep`, `abort`, `sigraise`. */
import { setImmediate, setTimeout as wait } from 'node:timers/promises';
import { BlockError } from '../../node/index.ts';
import { readInteger } from '../shared/sizes.ts';
import { strerror } from '../shared/words.ts';
import { CommandError, type IoCommand } from './command.ts';
import { byteCount } from './numbers.ts';

/** The first number that is no signal. Linux, signal(7). */
const NO_SIGNAL = 65;
const NO_SUCH = 'No such file or directory';

export const breakCommand: IoCommand = {
  name: 'break',
  usage: 'event tag',
  summary: 'stops the next request that passes an event',
  words: [2, 2],
  needsImage: true,
  run(context, { operands: [event, tag] }) {
    try {
      context.debug('Could not set breakpoint').breakpoint(event!, tag!);
    } catch (error) {
      if (error instanceof BlockError) throw new CommandError(`Could not set breakpoint: ${strerror(error)}`);
      throw error;
    }
  },
};

export const removeBreak: IoCommand = {
  name: 'remove_break',
  usage: 'tag',
  summary: 'removes a breakpoint',
  words: [1, 1],
  needsImage: true,
  run(context, { operands: [tag] }) {
    const refusal = `Could not remove breakpoint ${tag}`;
    if (!context.debug(refusal).removeBreakpoint(tag!)) throw new CommandError(`${refusal}: ${NO_SUCH}`);
  },
};

export const resume: IoCommand = {
  name: 'resume',
  usage: 'tag',
  summary: 'lets a request go on that a breakpoint has stopped',
  words: [1, 1],
  needsImage: true,
  async run(context, { operands: [tag] }) {
    const refusal = 'Could not resume request';
    if (!context.debug(refusal).resume(tag!)) throw new CommandError(`${refusal}: ${NO_SUCH}`);
    await setImmediate();
  },
};

export const waitBreak: IoCommand = {
  name: 'wait_break',
  usage: 'tag',
  summary: 'waits until a breakpoint has stopped a request',
  words: [1, 1],
  needsImage: true,
  async run(context, { operands: [tag] }) {
    const points = context.debug('Could not wait for a request');
    while (!points.isSuspended(tag!)) await setImmediate();
  },
};

export const sleep: IoCommand = {
  name: 'sleep',
  usage: '',
  summary: 'waits for some milliseconds',
  words: [1, 1],
  needsImage: false,
  async run(context, { operands: [text] }) {
    const milliseconds = readInteger(text!);
    if (milliseconds === undefined || milliseconds < 0) throw new CommandError(`${text} is not a valid number`);
    await context.idle(() => wait(milliseconds));
  },
};

export const abort: IoCommand = {
  name: 'abort',
  usage: '',
  summary: 'ends the program as if it had crashed',
  words: [0, 0],
  needsImage: false,
  async run() {
    process.kill(process.pid, 'SIGABRT');
    await setImmediate();
  },
};

export const sigraise: IoCommand = {
  name: 'sigraise',
  usage: 'signal',
  summary: 'sends a signal to the program itself',
  help: `\n The signal is a number: 'sigraise 15' sends SIGTERM.\n`,
  words: [1, 1],
  needsImage: false,
  async run(_context, { operands: [text] }) {
    const signal = byteCount(text!);
    if (signal > NO_SIGNAL) throw new CommandError(`signal argument '${text}' is too large to be a valid signal`);
    if (signal === NO_SIGNAL) return;
    process.kill(process.pid, signal);
    // A signal that ends the process does so before anything else is done.
    await setImmediate();
  },
};

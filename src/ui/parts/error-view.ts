/** Errors for people: what happened, where, and what to do; the rest unfolds. */
import { BlockError, type BlockErrorKind } from '../../block/error.ts';
import { h } from './dom.ts';
import { count, offset as hex, size } from './text.ts';

const TITLES: Readonly<Record<BlockErrorKind, string>> = {
  invalid: 'That cannot be opened this way',
  unsupported: 'This is not supported',
  'not-found': 'Not found',
  exists: 'There is one already',
  busy: 'In use',
  permission: 'Not allowed',
  denied: 'Another file is needed',
  'passphrase-needed': 'The image is encrypted',
  'wrong-passphrase': 'The passphrase is wrong',
  corrupt: 'The file is damaged',
  io: 'Reading or writing failed',
  'no-space': 'No space left',
  'base-changed': 'The base is a different file',
  aborted: 'Stopped',
  'would-block': 'Something went wrong in this page',
  closed: 'The connection to the disk is gone',
  internal: 'Something went wrong in this page',
};

const ADVICE: Readonly<Record<BlockErrorKind, string>> = {
  invalid: 'Check the choice and try again.',
  unsupported: 'Convert the image first, for example with qemu-img convert -O qcow2.',
  'not-found': 'Check the name or the address, or choose the file again.',
  exists: 'Choose another name, or delete the one that is there.',
  busy: 'Close it in the other tab or program, then try again.',
  permission: 'Open it read-only, or give this page the permission to write.',
  denied: 'Choose the file that the image names. Nothing that an image names is opened unasked.',
  'passphrase-needed': 'Give its passphrase. It is used to open the image and kept nowhere.',
  'wrong-passphrase': 'Type it again. Mind capital letters and the layout of the keyboard.',
  corrupt: 'The file may have been cut off while it was copied: compare its size with the original, or copy it again.',
  io: 'Check the device or the network connection, then try again.',
  'no-space':
    'Free some space for this site, for example by deleting a disk or an unpacked image on the start page, then try again.',
  'base-changed':
    'Choose the file that the disk was made on. With another one the guest would see a mixture of two disks.',
  aborted: 'Nothing was kept of it.',
  'would-block': 'Reload the page. If it happens again, please report it with the details below.',
  closed: 'Reload the page. What had been flushed is safe.',
  internal: 'Reload the page. If it happens again, please report it with the details below.',
};

/**
 * Shows an error.
 *
 * @param error what was thrown
 * @param what what the page was doing: 'Opening disk.qcow2'
 * @param actions buttons that help
 */
export function errorView(error: unknown, what: string, actions: readonly HTMLElement[] = []): HTMLElement {
  const { kind, message } = factsOf(error);
  const where = whereOf(error);
  return h(
    'div',
    { class: 'notice error', role: 'alert', 'data-testid': 'error', 'data-kind': kind },
    h('h3', {}, TITLES[kind]),
    h('p', {}, `${what}: ${endSentence(message)}`),
    where !== '' && h('p', { class: 'muted' }, where),
    h('p', {}, ADVICE[kind]),
    actions.length > 0 && h('div', { class: 'actions' }, ...actions),
    h('details', {}, h('summary', {}, 'Details'), h('pre', { class: 'details', tabindex: 0 }, detailsOf(error))),
  );
}

/** In one line, for places where there is no room. */
export function errorLine(error: unknown): string {
  const { kind, message } = factsOf(error);
  return `${TITLES[kind]}: ${endSentence(message)}`;
}

export function kindOf(error: unknown): BlockErrorKind {
  return factsOf(error).kind;
}

function factsOf(error: unknown): { kind: BlockErrorKind; message: string } {
  if (error instanceof BlockError) return error;
  if (error instanceof DOMException && error.name === 'AbortError') return { kind: 'aborted', message: error.message };
  return { kind: 'internal', message: error instanceof Error ? error.message : String(error) };
}

function whereOf(error: unknown): string {
  if (!(error instanceof BlockError)) return '';
  const { filename, offset, length } = error.context;
  const parts = [
    filename !== undefined && filename !== '' && `in ${filename}`,
    offset !== undefined && `at offset ${hex(offset)} (byte ${count(offset)})`,
    length !== undefined && `over ${size(length)}`,
  ].filter((part) => part !== false);
  return parts.length === 0 ? '' : `Where: ${parts.join(', ')}.`;
}

function detailsOf(error: unknown): string {
  const lines: string[] = [];
  for (let current: unknown = error, depth = 0; current !== undefined && depth < 8; depth++) {
    const prefix = depth === 0 ? '' : 'caused by ';
    if (current instanceof BlockError) {
      lines.push(`${prefix}${current.name} (${current.kind}): ${current.describe()}`);
      if (current.context.detail !== undefined) lines.push(JSON.stringify(current.context.detail, undefined, 2));
    } else {
      lines.push(`${prefix}${current instanceof Error ? (current.stack ?? String(current)) : String(current)}`);
    }
    current = current instanceof Error ? current.cause : undefined;
  }
  return lines.join('\n');
}

function endSentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** Errors in the words in which QEMU's tools print them, where scripts could look for those. */
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { BlockError } from '../../block/error.ts';

/** What the C library says of the errors that files give. POSIX, strerror(3). */
const SYSTEM_MESSAGES: Readonly<Record<string, string>> = {
  EACCES: 'Permission denied',
  EAGAIN: 'Resource temporarily unavailable',
  EBUSY: 'Device or resource busy',
  EDQUOT: 'Disk quota exceeded',
  EEXIST: 'File exists',
  EFBIG: 'File too large',
  EINVAL: 'Invalid argument',
  EIO: 'Input/output error',
  EISDIR: 'Is a directory',
  ELOOP: 'Too many levels of symbolic links',
  EMFILE: 'Too many open files',
  ENAMETOOLONG: 'File name too long',
  ENODEV: 'No such device',
  ENOENT: 'No such file or directory',
  ENOSPC: 'No space left on device',
  ENOTDIR: 'Not a directory',
  ENOTSUP: 'Operation not supported',
  ENXIO: 'No such device or address',
  EPERM: 'Operation not permitted',
  EROFS: 'Read-only file system',
  ETXTBSY: 'Text file busy',
};

/** What the errors of the core are when no system call is behind them. */
const KIND_MESSAGES: Readonly<Record<string, string>> = {
  io: SYSTEM_MESSAGES['EIO']!,
  'no-space': SYSTEM_MESSAGES['ENOSPC']!,
  'not-found': SYSTEM_MESSAGES['ENOENT']!,
};

/** What the operating system said, if an error comes from it. */
export function systemMessage(error: unknown): string | undefined {
  for (let inner = error; inner instanceof Error; inner = inner.cause) {
    const code = 'code' in inner ? String(inner.code) : '';
    if (Object.hasOwn(SYSTEM_MESSAGES, code)) return SYSTEM_MESSAGES[code];
  }
  return undefined;
}

const ERRNO_NAMES: Readonly<Partial<Record<string, string>>> = {
  invalid: 'EINVAL',
  unsupported: 'ENOTSUP',
  permission: 'EPERM',
  busy: 'EBUSY',
  exists: 'EEXIST',
};

/** A failed request as the C library would name it, whatever failed. What a rule has injected is what the rule says. */
export function strerror(error: unknown): string {
  const known = systemMessage(error);
  if (known !== undefined || !(error instanceof BlockError)) return known ?? messageOf(error);
  const injected = error.context.detail?.['errno'];
  const name = typeof injected === 'number' ? getSystemErrorName(-injected) : ERRNO_NAMES[error.kind];
  return (name === undefined ? KIND_MESSAGES[error.kind] : SYSTEM_MESSAGES[name]) ?? SYSTEM_MESSAGES['EIO']!;
}

/** The number that the C library has for what `strerror` names. */
export function errnoOf(error: unknown): number {
  const message = strerror(error);
  const name = Object.keys(SYSTEM_MESSAGES).find((known) => SYSTEM_MESSAGES[known] === message) ?? 'EIO';
  return (constants.errno as Readonly<Record<string, number>>)[name] ?? constants.errno.EIO;
}

/** An error of a request, as the C library would name it: `Input/output error`. */
export function requestMessage(error: unknown): string {
  const known = systemMessage(error) ?? (error instanceof BlockError ? KIND_MESSAGES[error.kind] : undefined);
  if (known !== undefined) return known;
  // What lies behind the end is an I/O error, as for a guest.
  if (error instanceof BlockError && /^The range to .* is not inside the disk /.test(error.message)) {
    return SYSTEM_MESSAGES['EIO']!;
  }
  const isRefusedWrite = error instanceof BlockError && error.kind === 'permission' && isWrite(error.context.op);
  if (isRefusedWrite) return SYSTEM_MESSAGES['EPERM']!;
  return error instanceof BlockError ? ownMessage(error) : messageOf(error);
}

function isWrite(op: string | undefined): boolean {
  return op === 'write' || op === 'zero' || op === 'discard';
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What drivers say of a file that is not in their format at all, and what QEMU's say. */
const WRONG_FORMAT: Readonly<Partial<Record<string, RegExp>>> = {
  luks: /^This is no LUKS header|^A LUKS header has/,
  qed: /does not begin as a QED image does$/,
  vpc: /^invalid VPC image: there is no footer/,
};
const WRONG_FORMAT_MESSAGES: Readonly<Partial<Record<string, string>>> = {
  luks: 'Volume is not in LUKS format',
  qed: 'Image not in QED format',
  vpc: 'invalid VPC image',
};

/** Why something could not be opened, without the name of the image that was asked for. */
export function openMessage(error: unknown): string {
  if (!(error instanceof BlockError)) return messageOf(error);
  const system = systemMessage(error);
  const { filename = '', driver = '', via = [], op } = error.context;
  const config = /^Could not read blkdebug config file(?=: )/.exec(error.message)?.[0];
  if (config !== undefined) return `${config}: ${system ?? SYSTEM_MESSAGES['EIO']}`;
  // A request to the file of an image passes that image on its way up.
  const belowTop = 'Could not open backing file: '.repeat(Math.max(0, op === 'read' ? via.length - 1 : via.length));
  if (filename === '' && driver === 'file') return "The 'file' block driver requires a file name";
  if (system !== undefined) return `${belowTop}Could not open '${filename}': ${system}`;
  if (op === 'read') return `${belowTop}Could not read image: ${strerror(error)}`;
  const wrongFormat = WRONG_FORMAT[driver];
  if (wrongFormat?.test(error.message) === true) return belowTop + WRONG_FORMAT_MESSAGES[driver]!;
  if (/^This is no | has at least \d+ bytes, this one /.test(error.message))
    return `${belowTop}Image is not in ${driver} format`;
  if (error.message.startsWith('It is ') && driver === 'file') {
    return `${belowTop}'file' driver requires '${filename}' to be a regular file`;
  }
  return belowTop + ownMessage(error);
}

const PROTOCOLS: ReadonlySet<string> = new Set(['file', 'http', 'https', 'memory', 'null-co', 'vvfat']);

const SIZE_HINT =
  'Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively.';

function doesNotKnow(driver: string, option: string): string {
  return PROTOCOLS.has(driver)
    ? `Block protocol '${driver}' doesn't support the option '${option}'`
    : `Block format '${driver}' does not support the option '${option}'`;
}

/** The core's own words, with QEMU's in their place where they name the same thing. */
export function ownMessage(error: BlockError): string {
  const { message } = error;
  const noDriver = /^There is no (?:driver|format|protocol) '(.*?)'; there are/.exec(message);
  if (noDriver !== null) return `Unknown driver '${noDriver[1]}'`;
  const noProtocol = /^Unknown protocol '(.*?)' in the name/.exec(message);
  if (noProtocol !== null) return `Unknown protocol '${noProtocol[1]}'`;
  const unknown = /^Option '(.*?)' is not known to driver '(.*?)'/.exec(message);
  if (unknown !== null) return doesNotKnow(unknown[2]!, unknown[1]!);
  const notBoolean = /^Option '(.*?)' of .* must be true or false/.exec(message);
  if (notBoolean !== null) return `Parameter '${notBoolean[1]}' expects 'on' or 'off'`;
  const notSize = /^Option '(.*?)' of .* must be a (size|whole number)/.exec(message);
  if (notSize !== null) {
    return notSize[2] === 'size'
      ? `Parameter '${notSize[1]}' expects a non-negative number below 2^64\n${SIZE_HINT}`
      : `Parameter '${notSize[1]}' expects a number`;
  }
  const noName = /^'(.*)' is no node name: /.exec(message);
  if (noName !== null) return `Invalid node-name: '${noName[1]}'`;
  if (/^The name 'json:.*' must hold an object after 'json:'$/.test(message)) return 'Invalid JSON object given';
  const noNode = /^There is no node '(.*)'$/.exec(message);
  if (noNode !== null) return `Cannot find device='${noNode[1]}' nor node-name='${noNode[1]}'`;
  if (/^Option 'file' of driver .* is missing: what the image is/.test(message)) {
    return 'A block device must be specified for "file"';
  }
  if (/^Option 'file' of .* is missing: what the image is/.test(message)) return 'Must specify either driver or file';
  if (/^The name 'json:.*' is not valid JSON/.test(message)) return `Could not parse the JSON options: ${message}`;
  const noSecret = /^No secret with the id '(.*?)' was given/.exec(message);
  if (noSecret !== null) return `No secret with id '${noSecret[1]}'`;
  const level = /^Unknown compatibility level .*?(?=: there are)/.exec(message);
  if (level !== null) return level[0];
  if (message.startsWith('Shrinking of QED images is not possible'))
    return 'Shrinking images is currently not supported';
  const required = /^Parameter '.*?' is required for cipher/.exec(message);
  if (required !== null) return required[0];
  const notOneOf = /^Option '(.*?)' of .* must be one of .*, not '(.*)'$/.exec(message);
  // The option has had two names, and QEMU's tools answer with the newer one.
  if (notOneOf !== null) {
    if (notOneOf[1] === 'discard') return 'Invalid discard option';
    if (notOneOf[1] === 'aio' || notOneOf[1] === 'detect-zeroes') return `invalid parameter value: ${notOneOf[2]}`;
    // QEMU looks at these itself, its option parser does not.
    if (message.includes(" of format 'vmdk' ")) return `invalid parameter value: ${notOneOf[2]}`;
    const name = notOneOf[1] === 'compat' ? 'version' : notOneOf[1]!.replaceAll('_', '-');
    return `Parameter '${name}' does not accept value '${notOneOf[2]}'`;
  }
  return message;
}

/** Why an image could not be made. */
export function createMessage(error: BlockError, filename: string): string {
  const system = systemMessage(error);
  if (error.message.startsWith('A VHD disk has at most ')) return "The image size is too large for file format 'vpc'";
  if (system === undefined) return ownMessage(error);
  return error.context.op === 'open' || error.context.op === 'create'
    ? `Could not create '${filename}': ${system}`
    : system;
}

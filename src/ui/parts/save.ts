/** Saving a stream as a file, with memory bounded whatever its size. */
import { BlockError } from '../../block/error.ts';
import { begin } from './begin.ts';
import { DOWNLOADS, holdUnfinished } from './unfinished.ts';

/** A browser reads the file after the click; afterwards it may go. Nobody says when it has. */
const KEEP_MS = 10 * 60_000;

interface PickerWindow {
  readonly showSaveFilePicker?: (options: { readonly suggestedName: string }) => Promise<FileSystemFileHandle>;
}

/** Where a file goes to. */
export interface SaveTarget {
  readonly writable: WritableStream<Uint8Array>;
  /** Hands the whole file over. */
  finish(): Promise<void>;
  /** Leaves nothing behind. */
  discard(): Promise<void>;
}

/**
 * Asks where to save. To be called at once after the click: browsers ask only then.
 *
 * @returns undefined when the person decided otherwise
 * @throws BlockError `no-space`, `unsupported`
 */
export async function saveTarget(name: string): Promise<SaveTarget | undefined> {
  const picker = (window as PickerWindow).showSaveFilePicker;
  if (picker !== undefined) {
    try {
      return await pickedTarget(await picker.call(window, { suggestedName: name }));
    } catch (error) {
      if (error instanceof DOMException && error.name === 'AbortError') return undefined;
      throw asBlockError(error, name);
    }
  }
  return temporaryTarget(name);
}

async function pickedTarget(handle: FileSystemFileHandle): Promise<SaveTarget> {
  const writable = await handle.createWritable();
  // The browser writes to a file beside the chosen one and swaps them on close; an abort leaves the old one.
  return { writable, finish: () => Promise.resolve(), discard: () => writable.abort() };
}

async function temporaryTarget(name: string): Promise<SaveTarget> {
  const id = crypto.randomUUID();
  const release = await holdUnfinished();
  let folder: FileSystemDirectoryHandle;
  let handle: FileSystemFileHandle;
  let writable: WritableStream<Uint8Array>;
  try {
    const root = await navigator.storage.getDirectory();
    folder = await root.getDirectoryHandle(DOWNLOADS, { create: true });
    handle = await folder.getFileHandle(id, { create: true });
    writable = await handle.createWritable();
  } catch (error) {
    release();
    if (error instanceof TypeError || (error instanceof DOMException && error.name === 'SecurityError'))
      return blobTarget(name);
    throw asBlockError(error, name);
  }
  const remove = async (): Promise<void> => {
    await folder.removeEntry(id);
    release();
  };
  return {
    writable,
    finish: async () => {
      download(await handle.getFile(), name);
      setTimeout(() => begin(remove()), KEEP_MS);
    },
    discard: async () => {
      await writable.abort();
      await remove();
    },
  };
}

/** Without files of its own the browser keeps the pieces as blobs, which it may put on disk itself. */
function blobTarget(name: string): Promise<SaveTarget> {
  let parts: Blob[] = [];
  const writable = new WritableStream<Uint8Array>({
    write: (piece) => {
      parts.push(new Blob([piece as Uint8Array<ArrayBuffer>]));
    },
  });
  const finish = (): Promise<void> => {
    download(new Blob(parts, { type: 'application/octet-stream' }), name);
    return Promise.resolve();
  };
  const discard = (): Promise<void> => {
    parts = [];
    return Promise.resolve();
  };
  return Promise.resolve({ writable, finish, discard });
}

function download(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const anchor = document.createElement('a');
  anchor.href = url;
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), KEEP_MS);
}

/** What the browser says about writing, in the words of the block layer. */
export function asBlockError(error: unknown, filename: string): unknown {
  if (!(error instanceof DOMException)) return error;
  const kind = error.name === 'QuotaExceededError' ? 'no-space' : error.name === 'AbortError' ? 'aborted' : 'io';
  return new BlockError(
    kind,
    `The file could not be saved: ${error.message}`,
    { filename, op: 'save' },
    { cause: error },
  );
}

/**
 * QEMU's vvfat, its half that reads: a folder as a disk with a FAT volume and long names. It cannot be written: put an overlay on top.
 * Folders come from where there are some: files that were dropped on a page (`files`), or Node's file system (`dir`).
 */
import type { ProtocolDriver } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import { invalidOption, readOnlyProtocolError } from '../shared/errors.ts';
import { folderOfFiles } from './dropped.ts';
import type { Folder } from './folder.ts';
import type { FatType } from './geometry.ts';
import { VvfatStorage } from './storage.ts';

const LABEL_LENGTH = 11;
const PREFIX = 'fat:';

const schema = {
  dir: { type: 'string', help: 'The folder, where there is a file system' },
  files: { type: 'any', help: 'The files of a folder that was dropped: an array of { path, blob }' },
  'fat-type': { type: 'number', help: '12, 16 or 32; without it what the folder fits into' },
  floppy: { type: 'boolean', default: false, help: 'Whether it is a floppy disk, without partitions' },
  label: { type: 'string', default: 'QEMU VVFAT', help: 'The name of the volume, eleven letters at most' },
  rw: { type: 'boolean', default: false, help: 'Writing to the folder, which cannot be done' },
} as const satisfies OptionSchema;

type Options = OptionValues<typeof schema>;

/** @param readFolder looks through a folder of the file system; undefined where there is none */
export function createVvfatProtocol(
  readFolder: ((dir: string) => Promise<Folder>) | undefined,
): ProtocolDriver<typeof schema> {
  return {
    kind: 'protocol',
    name: 'vvfat',
    options: schema,
    isAvailable: () => true,
    parseFilename,
    filename: ({ dir }) => `${PREFIX}${dir ?? ''}`,
    async open(options, { readOnly }) {
      const filename = `${PREFIX}${options.dir ?? ''}`;
      if (options.rw)
        throw new BlockError('unsupported', "vvfat cannot write to the folder ('rw'): put an overlay on top", {
          filename,
        });
      if (!readOnly) throw readOnlyProtocolError('vvfat', filename);
      const volume = { fatType: fatTypeOf(options), floppy: options.floppy, label: labelOf(options) };
      return new VvfatStorage(await folderOf(options, readFolder), filename, volume);
    },
  };
}

/** QEMU: `fat:[floppy:][12:|16:|32:][rw:]folder`. */
function parseFilename(filename: string) {
  if (!filename.startsWith(PREFIX)) return undefined;
  const parts = filename.slice(PREFIX.length).split(':');
  const flags = parts.slice(0, -1);
  return {
    driver: 'vvfat',
    dir: parts.at(-1)!,
    ...(flags.includes('floppy') && { floppy: true }),
    ...(flags.includes('rw') && { rw: true }),
    ...Object.fromEntries(flags.filter((flag) => /^(12|16|32)$/.test(flag)).map((flag) => ['fat-type', Number(flag)])),
  };
}

async function folderOf(
  { dir, files }: Options,
  readFolder: ((dir: string) => Promise<Folder>) | undefined,
): Promise<Folder> {
  if ((dir === undefined) === (files === undefined)) throw invalidOption('vvfat', 'dir', "given, or else 'files'");
  if (files !== undefined) return folderOfFiles(files);
  if (readFolder === undefined)
    throw new BlockError('unsupported', "There is no file system here: pass the files of the folder ('files')");
  return readFolder(dir!);
}

function fatTypeOf({ 'fat-type': fatType, floppy }: Options): FatType | undefined {
  if (fatType !== undefined && fatType !== 12 && fatType !== 16 && fatType !== 32) {
    throw invalidOption('vvfat', 'fat-type', '12, 16 or 32');
  }
  if (floppy && fatType !== undefined && fatType !== 12)
    throw invalidOption('vvfat', 'fat-type', '12 on a floppy disk');
  return fatType;
}

function labelOf({ label }: Options): Uint8Array {
  if (label.length > LABEL_LENGTH || !/^[ -~]*$/.test(label)) {
    throw invalidOption('vvfat', 'label', `at most ${LABEL_LENGTH} letters of ASCII`);
  }
  return new TextEncoder().encode(label.toUpperCase().padEnd(LABEL_LENGTH));
}

/**
 * The options of nodes and of new images as TypeScript types, made from the drivers' own option schemas so that they cannot
 * drift. Names are QEMU's: `blockdev-add`'s for opening, `qemu-img create -o`'s for creating.
 */
import type { qcow2 } from '../block/format/qcow2/driver.ts';
import type { raw } from '../block/format/raw/driver.ts';
import type { genericOptions } from '../block/graph/node-options.ts';
import type { OptionInput, OptionSchema } from '../block/options.ts';
import type { blobProtocol } from '../block/protocol/blob/driver.ts';
import type { HttpDriver } from '../block/protocol/http/driver.ts';
import type { indexedDbProtocol } from '../block/protocol/indexeddb/driver.ts';
import type { memoryProtocol } from '../block/protocol/memory/driver.ts';
import type { nullCoProtocol } from '../block/protocol/null-co/driver.ts';
import type { createVvfatProtocol } from '../block/protocol/vvfat/driver.ts';
import type { DroppedFile } from '../block/protocol/vvfat/dropped.ts';
import type { opfsProtocol } from '../block/protocol/opfs/driver.ts';

export type { DroppedFile };

/** Options that every node takes, whatever its driver. */
export type GenericNodeOptions = Omit<OptionInput<typeof genericOptions>, 'driver'>;

/** The own options of a protocol's nodes, by the protocol's name. */
interface ProtocolInputs {
  /** A store of one's own cannot be passed to a worker. */
  readonly memory: Omit<InputOf<typeof memoryProtocol>, 'store'>;
  readonly opfs: InputOf<typeof opfsProtocol>;
  readonly indexeddb: InputOf<typeof indexedDbProtocol>;
  readonly http: InputOf<HttpDriver>;
  readonly https: InputOf<HttpDriver>;
  readonly blob: Omit<InputOf<typeof blobProtocol>, 'blob'> & {
    /** What was chosen or dropped, or made by the page. */
    readonly blob: Blob;
  };
  readonly 'null-co': InputOf<typeof nullCoProtocol>;
  /** Read-only. A page has no folders but those that it made of files. */
  readonly vvfat: Omit<InputOf<ReturnType<typeof createVvfatProtocol>>, 'dir' | 'files'> & {
    readonly files: readonly DroppedFile[];
  };
}

/** The own options of a format's nodes, and those of its new images, by the format's name. */
interface FormatInputs {
  readonly qcow2: { readonly open: OpenInputOf<typeof qcow2>; readonly create: CreateInputOf<typeof qcow2> };
  readonly raw: { readonly open: OpenInputOf<typeof raw>; readonly create: CreateInputOf<typeof raw> };
}

/** Formats whose images can stand on others. */
type BackedFormat = 'qcow2';

/** Protocols that can make files. */
type WritableProtocol = 'memory' | 'opfs' | 'indexeddb';

type InputOf<Driver extends { readonly options: OptionSchema }> = OptionInput<Driver['options']>;
type OpenInputOf<Driver extends { readonly openOptions: OptionSchema }> = OptionInput<Driver['openOptions']>;
type CreateInputOf<Driver extends { readonly createOptions: OptionSchema }> = OptionInput<Driver['createOptions']>;

/** What an image is stored in: a node's options, or the name of a node that is open already. */
type FileChild = { readonly file: BlockdevOptions | string };

/** Options of the node that answers for what an overlay does not hold, the name of an open one, or `null` for none. */
type BackingChild = { readonly backing?: BlockdevOptions | string | null | undefined };

/** Options of a node that stores bytes. */
export type ProtocolOptions = {
  [Name in keyof ProtocolInputs]: { readonly driver: Name } & GenericNodeOptions & ProtocolInputs[Name];
}[keyof ProtocolInputs];

/** Options of an image whose format is told. */
export type FormatOptions = {
  [Name in keyof FormatInputs]: { readonly driver: Name } & GenericNodeOptions &
    FileChild &
    (Name extends BackedFormat ? BackingChild : unknown) &
    FormatInputs[Name]['open'];
}[keyof FormatInputs];

/** An image whose format is found by probing. It opens read-only: what a file seems to be is no ground to write to it. */
export type ProbedOptions = { readonly driver?: undefined } & GenericNodeOptions & FileChild & BackingChild;

/** Options of a node and of all below it. */
export type BlockdevOptions = ProtocolOptions | FormatOptions | ProbedOptions;

/** Where a new image is stored: options of a protocol, or a file name. */
type NewFileChild = { readonly file: ProtocolOptions | string };

type Size = number | string;

/** Options of a new image, or with a protocol as `driver`, of a new empty file of `size` bytes (default 0). */
export type CreateOptions =
  | {
      [Name in WritableProtocol]: { readonly driver: Name } & Omit<ProtocolInputs[Name], 'size'> & {
          readonly size?: Size | undefined;
        };
    }[WritableProtocol]
  | {
      [Name in keyof FormatInputs]: { readonly driver: Name } & NewFileChild &
        (Name extends BackedFormat
          ? /** An overlay without a `size` gets that of its backing file. */
            Omit<FormatInputs[Name]['create'], 'size'> & { readonly size?: Size | undefined }
          : FormatInputs[Name]['create']);
    }[keyof FormatInputs];

/**
 * The options of nodes and of new images as TypeScript types, made from the drivers' own option schemas so that they cannot
 * drift. Names are QEMU's: `blockdev-add`'s for opening, `qemu-img create -o`'s for creating.
 */
import type { raw } from '../block/format/raw/driver.ts';
import type { genericOptions } from '../block/graph/node-options.ts';
import type { OptionInput, OptionSchema } from '../block/options.ts';
import type { memoryProtocol } from '../block/protocol/memory/driver.ts';
import type { opfsProtocol } from '../block/protocol/opfs/driver.ts';

/** Options that every node takes, whatever its driver. */
export type GenericNodeOptions = Omit<OptionInput<typeof genericOptions>, 'driver'>;

type ProtocolNode<Name extends string, Schema extends OptionSchema> = { readonly driver: Name } & GenericNodeOptions &
  OptionInput<Schema>;

/** What an image is stored in: a node's options, or the name of a node that is open already. */
type FileChild = { readonly file: BlockdevOptions | string };

/** Options of the node that answers for what an overlay does not hold, the name of an open one, or `null` for none. */
type BackingChild = { readonly backing?: BlockdevOptions | string | null | undefined };

type FormatNode<Name extends string, Schema extends OptionSchema> = { readonly driver: Name } & GenericNodeOptions &
  FileChild &
  OptionInput<Schema>;

type NewImage<Name extends string, Schema extends OptionSchema> = {
  readonly driver: Name;
  /** Where it is stored: options of a protocol, or a file name. */
  readonly file: ProtocolOptions | string;
} & OptionInput<Schema>;

/** Options of a file in memory. A store of one's own cannot be passed to a worker. */
type MemoryNode = { readonly driver: 'memory' } & GenericNodeOptions &
  Omit<OptionInput<(typeof memoryProtocol)['options']>, 'store'>;

/** Options of a node that stores bytes. */
export type ProtocolOptions = MemoryNode | ProtocolNode<'opfs', (typeof opfsProtocol)['options']>;

/** Options of an image whose format is told. */
export type FormatOptions = FormatNode<'raw', (typeof raw)['openOptions']>;

/** An image whose format is found by probing. It opens read-only: what a file seems to be is no ground to write to it. */
export type ProbedOptions = { readonly driver?: undefined } & GenericNodeOptions & FileChild & BackingChild;

/** Options of a node and of all below it. */
export type BlockdevOptions = ProtocolOptions | FormatOptions | ProbedOptions;

/** A new empty file: the protocol's own options, and how long it is. */
type NewFile<Node> = Node extends unknown
  ? Omit<Node, keyof GenericNodeOptions | 'size'> & { readonly size?: number | string | undefined }
  : never;

/** Options of a new image, or with a protocol as `driver`, of a new empty file of `size` bytes (default 0). */
export type CreateOptions =
  | NewFile<MemoryNode>
  | NewFile<ProtocolNode<'opfs', (typeof opfsProtocol)['options']>>
  | NewImage<'raw', (typeof raw)['createOptions']>;

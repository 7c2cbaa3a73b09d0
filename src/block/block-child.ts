/** Children, as drivers see them. */
import type { MaybePromise } from './co.ts';
import type { BlockEvent } from './events.ts';
import type { RequestFlags } from './request.ts';

export type ChildRole =
  /** Guest data is stored there. */
  | 'data'
  /** The image's own tables are stored there. */
  | 'metadata'
  /** The node passes requests on to it unchanged. */
  | 'filtered'
  /** It answers for what the node itself does not hold. */
  | 'cow';

export type Permission = 'consistent-read' | 'write' | 'write-unchanged' | 'resize';

/** An edge of the graph: a parent's use of a node. All of a driver's I/O goes through one. QEMU: BdrvChild. */
export interface BlockChild {
  /** 'file', 'backing', 'data-file', 'extents.0' … */
  readonly name: string;
  /** Name of the node that it leads to. */
  readonly nodeName: string;
  /** The name of the file that it leads to, as its protocol says it; undefined: there is none. */
  readonly filename?: string | undefined;
  /** Bytes, now. */
  readonly length: number;
  readonly readOnly: boolean;
  readonly synchronous: boolean;
  /** What is stored is not what is read (encryption): to know where it is helps nobody, and no way leads past this child. */
  readonly opaque?: true;
  /** What is written with the flag `compressed` is stored so: it is an image of a format that can. */
  readonly compresses?: boolean;
  /** Past the end of the node zeroes are read. */
  read(offset: number, buffer: Uint8Array, flags?: RequestFlags): MaybePromise<void>;
  /** Past the end of a growable node it grows. */
  write(offset: number, data: Uint8Array, flags?: RequestFlags): MaybePromise<void>;
  writeZeroes(offset: number, length: number, flags?: RequestFlags): MaybePromise<void>;
  discard(offset: number, length: number): MaybePromise<void>;
  truncate(length: number): MaybePromise<void>;
  flush(): MaybePromise<void>;
  allocatedSize(): MaybePromise<number | undefined>;
  /** Tells the graph's observers (blkdebug, tests) that the driver is at a named point. QEMU: BLKDBG_EVENT. */
  event(name: BlockEvent): void;
}

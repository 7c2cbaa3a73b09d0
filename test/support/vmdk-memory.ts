/** VMDK images whose files are in memory. */
import { startAsync } from '../../src/block/co.ts';
import { raw } from '../../src/block/format/raw/driver.ts';
import { vmdk } from '../../src/block/format/vmdk/driver.ts';
import type { BlockBackend } from '../../src/block/graph/backend.ts';
import { BlockGraph } from '../../src/block/graph/graph.ts';
import type { OpenPolicy } from '../../src/block/graph/opener.ts';
import { createImage } from '../../src/block/image/create.ts';
import { createMemoryProtocol } from '../../src/block/protocol/memory/index.ts';

export class VmdkFolder {
  readonly graph = new BlockGraph({
    protocols: [createMemoryProtocol()],
    formats: [vmdk, raw],
    filters: [],
    defaultProtocol: 'memory',
  });

  /** Makes a file, or writes over one. */
  async put(name: string, content: Uint8Array | string): Promise<void> {
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
    const options = { driver: 'memory', name, size: bytes.length };
    await startAsync(createImage(this.graph, options, { overwrite: true }));
    const file = await this.graph.open({ driver: 'memory', name });
    if (bytes.length > 0) await file.write(0, bytes);
    await this.graph.close(file);
  }

  async bytes(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const file = await this.graph.open({ driver: 'memory', name, 'read-only': true, 'force-share': true });
    const bytes = new Uint8Array(file.length);
    if (bytes.length > 0) await file.read(0, bytes);
    await this.graph.close(file);
    return bytes;
  }

  async text(name: string): Promise<string> {
    return new TextDecoder().decode(await this.bytes(name)).replaceAll('\0', '');
  }

  async create(name: string, size: number, options: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const file = { driver: 'memory', name };
    await startAsync(createImage(this.graph, { driver: 'vmdk', file, size, ...options }));
  }

  /** Opens an image, and whatever files it names. */
  open(
    name: string,
    options: Readonly<Record<string, unknown>> = {},
    policy: Partial<OpenPolicy> = { references: () => true },
  ): Promise<BlockBackend> {
    return this.graph.open({ driver: 'vmdk', file: { driver: 'memory', name }, ...options }, policy);
  }

  async write(disk: BlockBackend, offset: number, data: Uint8Array, compressed = false): Promise<void> {
    await disk.write(offset, data, { compressed });
  }

  async read(disk: BlockBackend, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(length);
    await disk.read(offset, bytes);
    return bytes;
  }
}

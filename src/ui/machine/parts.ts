/** What a machine is made of beside its disk: v86, its WebAssembly and two BIOS files. Loaded when a machine starts, not before. */
import type { V86 } from 'v86';
import { BlockError } from '../../block/error.ts';
import { DEFAULT_BIOS, demoUrl, type DemoManifest } from '../start/demo.ts';

export interface MachineParts {
  readonly V86: typeof V86;
  readonly wasmUrl: string;
  readonly seabios: ArrayBuffer;
  readonly vgabios: ArrayBuffer;
}

/** @throws BlockError `not-found` when a BIOS file is missing, `io` when something cannot be loaded */
export async function loadParts(manifest: DemoManifest | undefined): Promise<MachineParts> {
  const bios = manifest?.bios ?? DEFAULT_BIOS;
  const [seabios, vgabios, { V86 }, wasm] = await Promise.all([
    loadBios(bios.seabios, 'the PC BIOS (SeaBIOS)'),
    loadBios(bios.vgabios, 'the VGA BIOS (SeaVGABIOS)'),
    import('v86'),
    import('v86/build/v86.wasm?url'),
  ]);
  return { V86, wasmUrl: wasm.default, seabios, vgabios };
}

async function loadBios(file: string, what: string): Promise<ArrayBuffer> {
  const url = demoUrl(file);
  let response: Response;
  try {
    response = await fetch(url);
  } catch (cause) {
    throw new BlockError('io', `The machine needs ${what}, and it could not be loaded`, { filename: url }, { cause });
  }
  // Some servers answer with their start page for what they do not have.
  const isPage = response.headers.get('content-type')?.startsWith('text/html') === true;
  if (response.ok && !isPage) return response.arrayBuffer();
  throw new BlockError(
    'not-found',
    `The machine needs ${what}, and this site has no such file. Whoever runs the site gets it with 'npm start' on a machine with Debian's packages`,
    { filename: url },
  );
}

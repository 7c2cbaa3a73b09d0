/** The images that come with the page, where somebody built them. */

export interface DemoImage {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  /** Relative to the manifest. */
  readonly file: string;
  /** Bytes. */
  readonly size: number;
  readonly format: string;
  readonly device: 'hda' | 'cdrom';
  /** Bytes. */
  readonly memory: number;
}

export interface DemoPackage {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  readonly copyright: string;
}

export interface DemoManifest {
  readonly bios: { readonly seabios: string; readonly vgabios: string };
  readonly images: readonly DemoImage[];
  readonly packages: readonly DemoPackage[];
}

export const DEFAULT_BIOS = { seabios: 'bios/seabios.bin', vgabios: 'bios/vgabios.bin' } as const;

/** The address of a file beside the manifest. */
export function demoUrl(file: string): string {
  return new URL(`demo/${file}`, document.baseURI).href;
}

/** @returns undefined where there is none: the page works without */
export async function loadDemo(): Promise<DemoManifest | undefined> {
  try {
    const response = await fetch(demoUrl('demo.json'));
    if (!response.ok || response.headers.get('content-type')?.includes('json') !== true) return undefined;
    return (await response.json()) as DemoManifest;
  } catch (error) {
    // No network, or no JSON: there is no demo.
    if (error instanceof TypeError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

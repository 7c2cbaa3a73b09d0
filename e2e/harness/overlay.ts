/** Overlays over images that the site serves. */
import type { DemoImage } from '../../scripts/guest/manifest.ts';
import type { BlockdevOptions, CreateOptions } from '../../src/client/index.ts';

export type OverlayStorage = 'opfs' | 'indexeddb';

/** The name under which overlays know their base; the tests give them the base, so nothing is looked for under it. */
export const BASE_NAME = 'base.img';

/** Where an overlay is kept in the browser. */
export function storedAt(storage: OverlayStorage, name = 'overlay') {
  if (storage === 'opfs') return { driver: 'opfs', path: `disks/${name}.qcow2` } as const;
  return { driver: 'indexeddb', name: `${name}.qcow2` } as const;
}

/** To create a qcow2 overlay over an image. */
export function newOverlay(storage: OverlayStorage, base: Pick<DemoImage, 'size'>, name?: string): CreateOptions {
  return {
    driver: 'qcow2',
    file: storedAt(storage, name),
    size: base.size,
    backing_file: BASE_NAME,
    backing_fmt: 'raw',
  };
}

/** To open it over the image at a URL, relative to the page. */
export function overlay(storage: OverlayStorage, url: string, name?: string): BlockdevOptions {
  return {
    driver: 'qcow2',
    file: storedAt(storage, name),
    backing: { driver: 'raw', file: { driver: 'http', url } },
  };
}

/** Where the site serves a guest's image. */
export function demoUrl(guest: DemoImage): string {
  return `demo/${guest.file}`;
}

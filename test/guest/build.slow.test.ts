import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { buildGuests } from '../../scripts/guest/build.ts';
import { projectFolders, type GuestFolders } from '../../scripts/guest/paths.ts';
import { ensureGuests } from '../support/guest.ts';

const guests = await ensureGuests();
if (guests.unavailable !== undefined) console.log(`Skipping the build tests: ${guests.unavailable}`);

let folder: string;
let folders: GuestFolders;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'spindle-guest-'));
  folders = { cache: join(folder, 'cache'), output: join(folder, 'demo') };
  mkdirSync(folders.cache);
  // The packages that the project's own cache has unpacked: nothing is downloaded.
  copyFileSync(join(projectFolders.cache, 'packages.json'), join(folders.cache, 'packages.json'));
});

afterEach(() => rmSync(folder, { recursive: true }));

describe.skipIf(guests.unavailable !== undefined)('building', () => {
  test('the same packages give the same bytes', async () => {
    expect(await buildGuests({ folders })).toEqual(guests.manifest);
  });

  test('builds again only what is not up to date', async () => {
    const image = join(folders.output, 'grub.img');
    await buildGuests({ folders });
    const built = statSync(image).mtimeMs;
    await buildGuests({ folders });
    expect(statSync(image).mtimeMs).toBe(built);
    await buildGuests({ folders, force: true });
    expect(statSync(image).mtimeMs).toBeGreaterThan(built);
    truncateSync(image, 512);
    await buildGuests({ folders });
    expect(statSync(image).size).toBe(4 * 1024 * 1024);
  });

  test('two builds at once make one', async () => {
    const lines: string[] = [];
    const log = (line: string): number => lines.push(line);
    const [first, second] = await Promise.all([buildGuests({ folders, log }), buildGuests({ folders, log })]);
    expect(first).toEqual(second);
    expect(lines.filter((line) => line.includes('Linux'))).toHaveLength(1);
  });
});

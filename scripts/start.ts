// `npm start`: builds the demo's guests where this machine can, then serves the page from its sources.
import { spawnSync } from 'node:child_process';
import { createServer } from 'vite';
import { root } from './run.ts';

// Without guests the demo buttons are missing and everything else works; the builder says so itself.
const guests = spawnSync('node', ['scripts/guest/build.ts', '--soft'], {
  cwd: root,
  stdio: ['ignore', 'inherit', 'inherit'],
});
if (guests.status !== 0) console.error('The demo guests could not be built: the demo is off, everything else works.');

const hasDisplay =
  process.platform === 'darwin' ||
  process.platform === 'win32' ||
  process.env['DISPLAY'] !== undefined ||
  process.env['WAYLAND_DISPLAY'] !== undefined;

const server = await createServer({ root, server: { open: hasDisplay } });
await server.listen();
server.printUrls();

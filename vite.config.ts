import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { isolationHeaders } from './scripts/isolation.ts';

export default defineConfig({
  // The built page works in any folder of any static server.
  base: './',
  server: { headers: isolationHeaders },
  preview: { headers: isolationHeaders },
  worker: { format: 'es' },
  build: {
    outDir: fileURLToPath(new URL('dist/page', import.meta.url)),
    target: 'es2023',
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
});

/** The page's entry. */
import { connect } from '../client/index.ts';
import { App } from './app.ts';
import { Library } from './images/library.ts';
import { availableStorages } from './images/storages.ts';
import { showAbout } from './start/about.ts';
import { errorView } from './parts/error-view.ts';
import { removeUnfinished } from './parts/unfinished.ts';
import { loadDemo } from './start/demo.ts';
import { begin } from './parts/begin.ts';

const main = document.querySelector('main')!;

try {
  await startPage();
} catch (error) {
  main.replaceChildren(errorView(error, 'Starting the page'));
}

async function startPage(): Promise<void> {
  const [spindle, manifest, storages] = await Promise.all([connect(), loadDemo(), availableStorages()]);
  const app = new App({ spindle, library: new Library(spindle), manifest, storages, main });
  document.querySelector('#home')!.addEventListener('click', () => begin(app.showStart()));
  document.querySelector('#about')!.addEventListener('click', () => showAbout(manifest));
  keepWrites(app);
  begin(removeUnfinished());

  const link = new URLSearchParams(location.search);
  const [url, demo] = [link.get('url'), link.get('demo')];
  const image = manifest?.images.find(({ id }) => id === demo);
  if (image !== undefined) await app.bootDemo(image);
  else if (url !== null && link.get('boot') === '1') await app.bootUrl(url);
  else if (url !== null) await app.openUrl(url);
  else await app.showStart();
}

/** A page that is hidden may never come back: what a guest wrote is flushed then, and leaving asks while it is not. */
function keepWrites(app: App): void {
  // What a flush reports is told to the guest with its next one; here is nobody to show it to.
  const flush = (): void => void app.flush().catch(() => undefined);
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'hidden') flush();
  });
  window.addEventListener('pagehide', flush);
  window.addEventListener('beforeunload', (event) => {
    if (app.unflushed === 0) return;
    flush();
    event.preventDefault();
  });
}

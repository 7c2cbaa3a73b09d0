/** What the graph gives to drivers, for tests that call them without one: no other files, and one secret. */
import type { CreateContext } from '../../src/block/driver.ts';

function refuse(what: string): never {
  throw new Error(`the driver asked for ${what}`);
}

/** The passphrase of encrypted images in simulations, by its id: graphs of tests know it. */
export const TEST_SECRET = 'test-secret';
export const TEST_PASSPHRASE = new TextEncoder().encode('the passphrase of the tests');

/** A context in which nothing but the image's own file can be made. */
export const bareCreateContext: CreateContext = {
  secret: (id) => (id === TEST_SECRET ? TEST_PASSPHRASE : refuse(`the secret '${id}'`)),
  lineageOf: (filename) => refuse(`the lineage of '${filename}'`),
  createFile: (filename) => refuse(`a file '${filename}'`),
};

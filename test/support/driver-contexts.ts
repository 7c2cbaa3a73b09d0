/** What the graph gives to drivers, for tests that call them without one: no other files, no secrets. */
import type { CreateContext } from '../../src/block/driver.ts';

function refuse(what: string): never {
  throw new Error(`the driver asked for ${what}`);
}

/** A context in which nothing but the image's own file can be made. */
export const bareCreateContext: CreateContext = {
  secret: (id) => refuse(`the secret '${id}'`),
  createFile: (filename) => refuse(`a file '${filename}'`),
};

export { createHttpProtocol, httpProtocol, httpsProtocol } from './driver.ts';
export type { HttpEnvironment } from './environment.ts';

export { blobProtocol } from './driver.ts';

export { createFileProtocol, fileProtocol } from './driver.ts';

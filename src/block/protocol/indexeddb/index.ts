export { indexedDbProtocol } from './driver.ts';

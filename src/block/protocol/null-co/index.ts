export { nullCoProtocol, UNREAD_BYTE } from './driver.ts';

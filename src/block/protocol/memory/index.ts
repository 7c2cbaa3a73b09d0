export { createMemoryProtocol, memoryProtocol } from './driver.ts';
export { MemoryStore } from './store.ts';

export { createVvfatProtocol } from './driver.ts';
export { fileChanged, type DroppedFile } from './dropped.ts';
export { MAX_DEPTH, MAX_ENTRIES, type Folder, type FolderFile } from './folder.ts';

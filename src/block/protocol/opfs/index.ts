export { opfsProtocol } from './driver.ts';
export { deleteFile, listFiles, openFile, renameFile, type StoredFile } from './folder.ts';

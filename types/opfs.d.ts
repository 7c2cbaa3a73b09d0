// What TypeScript's libraries lack of the origin private file system. Its interfaces merge with the library's where
// that has them (lib.webworker) and stand alone where it does not (lib.dom). Source: WHATWG File System Standard.

interface FileSystemSyncAccessHandle {
  read(buffer: AllowSharedBufferSource, options?: { at?: number }): number;
  write(buffer: AllowSharedBufferSource, options?: { at?: number }): number;
  truncate(newSize: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

/** Chromium's locking modes; a browser that does not know them ignores the option and locks exclusively. */
type FileSystemSyncAccessHandleMode = 'readwrite' | 'read-only' | 'readwrite-unsafe';

interface FileSystemFileHandle {
  createSyncAccessHandle(options?: { mode?: FileSystemSyncAccessHandleMode }): Promise<FileSystemSyncAccessHandle>;
}

interface FileSystemFileHandle {
  /** Missing where the browser cannot rename. */
  move?(folder: FileSystemDirectoryHandle, name: string): Promise<void>;
}

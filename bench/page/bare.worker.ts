// The bare way: one message with a buffer in, an OPFS read into it, the same buffer back.
interface BareRequest {
  readonly path: string | undefined;
  readonly offset: number;
  readonly buffer: ArrayBuffer;
}

let handle: FileSystemSyncAccessHandle | undefined;
const scope = self as unknown as DedicatedWorkerGlobalScope;

scope.onmessage = async ({ data }: MessageEvent<BareRequest>) => {
  const { path, offset, buffer } = data;
  if (path !== undefined) {
    const top = await navigator.storage.getDirectory();
    handle = await (await top.getFileHandle(path)).createSyncAccessHandle({ mode: 'read-only' });
  } else {
    handle?.read(new Uint8Array(buffer), { at: offset });
  }
  scope.postMessage(buffer, [buffer]);
};

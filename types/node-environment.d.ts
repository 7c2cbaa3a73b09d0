// What @types/node does not name of the globals that Node has like every browser.
export {};

declare module 'node:worker_threads' {
  interface MessagePort {
    onmessage: ((event: { readonly data: unknown }) => void) | null;
  }
}

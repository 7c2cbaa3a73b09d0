// The little of a dedicated worker's global scope that lib.dom does not name, for programs that see page and worker
// code together (the tests' and the editor's). The worker itself is checked against lib.webworker.

interface DedicatedWorkerGlobalScope extends EventTarget {
  readonly name: string;
  readonly navigator: Navigator;
  readonly location: Location;
  onmessage: ((this: DedicatedWorkerGlobalScope, event: MessageEvent) => unknown) | null;
  postMessage(message: unknown, transfer?: Transferable[]): void;
  close(): void;
}

/**
 * Lets go of what an event began: a handler cannot wait. Views show the errors that they expect. One that nobody showed is a
 * defect, and is reported as an error thrown by the handler itself would be.
 */
export function begin(task: Promise<unknown>): void {
  task.catch((error: unknown) => reportError(error));
}

/** A command that ends with a message and an exit code. */
export class Failure extends Error {
  readonly exitCode: number;
  /** The message is followed by a pointer to the help. */
  readonly pointsToHelp: boolean;
  /** Further messages, each with the program's name before it. */
  readonly moreMessages: readonly string[];
  /** Printed behind the message, as it is. */
  readonly hint: string;

  constructor(
    message: string,
    settings: {
      readonly exitCode?: number;
      readonly pointsToHelp?: boolean;
      readonly hint?: string;
      readonly moreMessages?: readonly string[];
    } = {},
  ) {
    super(message);
    this.name = 'Failure';
    this.exitCode = settings.exitCode ?? 1;
    this.pointsToHelp = settings.pointsToHelp ?? false;
    this.moreMessages = settings.moreMessages ?? [];
    this.hint = settings.hint ?? '';
  }
}

/** The command line itself is wrong. */
export function usageError(message: string): Failure {
  return new Failure(message, { pointsToHelp: true });
}

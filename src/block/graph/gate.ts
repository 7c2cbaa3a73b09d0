/**
 * The gate: every file that an image names is opened here or not at all. The default is no. An image is a stranger's file, and
 * a name in it could be any file, disk or address that its reader can reach.
 */
import { settle, type Co, type MaybePromise } from '../co.ts';
import type { BlockdevOptions, FileReference } from '../driver.ts';
import { BlockError } from '../error.ts';

/** What an image asks for. */
export interface ReferenceRequest {
  /** 'backing', 'data-file', 'extents.0' … */
  readonly child: string;
  /** As it stands in the header. */
  readonly filename: string;
  /** The format that the header says the file has. */
  readonly format?: string;
  /** What the name means seen from the image: the options that would be opened. */
  readonly options: BlockdevOptions;
  /** Node name and file name of the image that asks. */
  readonly nodeName: string;
  readonly parentFilename: string;
  /** How many images stand above the file: 1 for the backing file of the image that was opened. */
  readonly depth: number;
}

/** `true`: open what was asked for; options: open these in its place; `false`: refuse. */
export type ReferenceAnswer = boolean | BlockdevOptions;

/** The caller's policy. It may ask a person, so it may take its time. */
export type ReferencePolicy = (request: ReferenceRequest) => MaybePromise<ReferenceAnswer>;

export const denyReferences: ReferencePolicy = () => false;

/** A policy that allows the names in a list, compared with what stands in the header, to the letter. */
export function allowNames(names: readonly string[]): ReferencePolicy {
  const allowed = new Set(names);
  return ({ filename }) => allowed.has(filename);
}

/** @returns the options to open. @throws BlockError `denied` when the policy says no */
export function* passGate(policy: ReferencePolicy, request: ReferenceRequest): Co<BlockdevOptions> {
  const answer = yield* settle(policy(request));
  if (answer === true) return request.options;
  if (answer !== false) return answer;
  throw new BlockError(
    'denied',
    `The image '${request.parentFilename}' names '${request.filename}' as its ${describeChild(request.child)}, and files that an ` +
      `image names are not opened unasked. Pass '${request.child}' in the options, or allow the name`,
    {
      node: request.nodeName,
      filename: request.filename,
      detail: { child: request.child, reference: request.filename, options: request.options, depth: request.depth },
    },
  );
}

/** @returns the reference with the format left out where the header does not say it */
export function referenceOf(filename: string, format: string | undefined): FileReference {
  return format === undefined ? { filename } : { filename, format };
}

function describeChild(child: string): string {
  return child === 'backing' ? 'backing file' : `'${child}' file`;
}

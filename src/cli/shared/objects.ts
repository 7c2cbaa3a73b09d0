/** `--object`: what drivers find by name. */
import { BlockError, ThrottleGroup, type BlockGraph } from '../../node/index.ts';
import { Failure } from './failure.ts';
import { parseKeyValues } from './key-values.ts';
import { addSecret } from './secrets.ts';

/**
 * Gives a graph the object that an option describes.
 *
 * @param definition `secret,id=NAME,…` or `throttle-group,id=NAME,x-iops-total=N,…`
 * @throws Failure
 */
export function addObject(graph: BlockGraph, definition: string): void {
  const isJson = definition.startsWith('{');
  const { 'qom-type': type, id, ...values } = isJson ? jsonValues(definition) : parseKeyValues(definition, 'qom-type');
  if (type === undefined) throw new Failure("Parameter 'qom-type' is missing");
  if (type !== 'secret' && type !== 'throttle-group') {
    throw new Failure(`Parameter 'qom-type' does not accept value '${type}'`);
  }
  if (id === undefined) throw new Failure("Parameter 'id' is missing");
  if (!/^[a-z][a-z0-9._-]*$/i.test(id)) {
    throw new Failure("Parameter 'id' expects an identifier", {
      hint: "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter.\n",
    });
  }
  try {
    if (type === 'secret') addSecret(graph, id, values);
    else graph.objects.add(id, new ThrottleGroup(values));
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    const isSecond = error.kind === 'exists';
    throw new Failure(
      isSecond ? `attempt to add duplicate property '${id}' to object (type 'container')` : error.message,
    );
  }
}

/** The same as JSON. @throws Failure */
function jsonValues(definition: string): Partial<Record<string, string>> {
  try {
    const members = Object.entries(JSON.parse(definition) as Readonly<Record<string, unknown>>);
    return Object.fromEntries(members.map(([name, value]) => [name, String(value)]));
  } catch {
    throw new Failure(`The object '${definition}' is no valid JSON`);
  }
}

/** `--object`: what drivers find by name. */
import { BlockError, ThrottleGroup, type BlockGraph } from '../../node/index.ts';
import { Failure } from './failure.ts';
import { pairs } from './key-values.ts';
import { addSecret } from './secrets.ts';

/**
 * Gives a graph the object that an option describes.
 *
 * @param definition `secret,id=NAME,…` or `throttle-group,id=NAME,x-iops-total=N,…`
 * @throws Failure
 */
export function addObject(graph: BlockGraph, definition: string): void {
  const [kind, ...rest] = definition.split(',');
  const type = kind!.replace(/^qom-type=/, '');
  if (type !== 'secret' && type !== 'throttle-group') {
    throw new Failure(`Parameter 'qom-type' does not accept value '${type}'`);
  }
  const { id, ...values } = Object.fromEntries(pairs(rest.join(','))) as Partial<Record<string, string>>;
  if (id === undefined) throw new Failure("Parameter 'id' is missing");
  if (type === 'secret') addSecret(graph, id, values);
  else addThrottleGroup(graph, id, values);
}

function addThrottleGroup(graph: BlockGraph, id: string, values: Readonly<Record<string, unknown>>): void {
  try {
    graph.objects.add(id, new ThrottleGroup(values));
  } catch (error) {
    if (error instanceof BlockError) throw new Failure(error.message);
    throw error;
  }
}

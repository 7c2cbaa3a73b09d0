/** Encrypted images in tests: passphrases for both sides, and key derivation that takes as little time as it may. */
import { createImage, createNodeGraph, type BlockBackend, type BlockGraph } from '../../src/node/index.ts';
import { startAsync } from '../../src/block/co.ts';
import { runTool } from './qemu.ts';

/** By their ids. */
export const SECRETS = { first: 'correct horse', second: 'battery staple', wrong: 'tröubadour' } as const;
export type SecretId = keyof typeof SECRETS;

const secretArgs = Object.entries(SECRETS).flatMap(([id, data]) => ['--object', `secret,id=${id},data=${data}`]);

/** A graph that knows the secrets. */
export function graphWithSecrets(): BlockGraph {
  const graph = createNodeGraph();
  for (const [id, data] of Object.entries(SECRETS)) graph.secrets.add(id, new TextEncoder().encode(data));
  return graph;
}

/**
 * Runs qemu-img or qemu-io with the secrets. QEMU measures the time of its CPU, and gives up where that is too busy to be
 * measured: then it is asked again.
 *
 * @returns what it printed. @throws when it fails
 */
export async function qemuWithSecrets(
  tool: 'qemu-img' | 'qemu-io',
  command: string | undefined,
  ...args: readonly string[]
): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const all = [...(command === undefined ? [] : [command]), ...secretArgs, ...args];
    // oxlint-disable-next-line no-await-in-loop -- one attempt after another
    const { code, stdout, stderr } = await runTool(tool, all);
    if (code === 0 && !/Pattern verification failed|failed:/.test(stdout)) return stdout;
    if (attempt < 5 && stderr.includes('CPU usage')) continue;
    throw new Error(`${tool} ${args.join(' ')}: exit code ${code}\n${stdout}${stderr}`);
  }
}

/** `--image-opts` for a qcow2 image. */
export function qcow2Opts(path: string, secret: SecretId = 'first'): string[] {
  return encryptedOpts('qcow2', path, secret);
}

/** `--image-opts` for an image of a format that has encryption inside. */
export function encryptedOpts(driver: 'qcow' | 'qcow2', path: string, secret: SecretId = 'first'): string[] {
  return ['--image-opts', `driver=${driver},file.filename=${path},encrypt.key-secret=${secret}`];
}

/** `--image-opts` for a LUKS image. */
export function luksOpts(path: string, secret: SecretId = 'first'): string[] {
  return ['--image-opts', `driver=luks,file.filename=${path},key-secret=${secret}`];
}

export async function createWithSecrets(options: Readonly<Record<string, unknown>>): Promise<void> {
  await startAsync(createImage(graphWithSecrets(), options as { driver: string }));
}

/** Opens a disk, lets somebody work on it, and closes it. */
export async function withDisk<T>(
  options: Readonly<Record<string, unknown>>,
  work: (disk: BlockBackend, graph: BlockGraph) => Promise<T>,
): Promise<T> {
  const graph = graphWithSecrets();
  const disk = await graph.open({ discard: 'unmap', ...options });
  try {
    return await work(disk, graph);
  } finally {
    await graph.close(disk);
  }
}

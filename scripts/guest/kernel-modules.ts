// The kernel's modules: which needs which, read from the modules themselves.
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { GuestBuildError } from './run.ts';

/** Modules by the kernel's own name for them (`sd_mod`, not `sd-mod`) -> file. */
export type ModuleFiles = ReadonlyMap<string, string>;

export interface KernelModule {
  readonly name: string;
  /** Without its signature. */
  readonly bytes: Buffer;
  readonly dependencies: readonly string[];
}

export function findModules(folder: string): ModuleFiles {
  const files = globSync('**/*.ko', { cwd: folder });
  return new Map(files.map((file) => [moduleName(basename(file, '.ko')), join(folder, file)]));
}

/**
 * The named modules and all that they need, each behind everything that it needs.
 * @throws GuestBuildError when the kernel has no module of a name.
 */
export function inLoadOrder(files: ModuleFiles, names: readonly string[]): KernelModule[] {
  const order = new Map<string, KernelModule>();
  const visit = (name: string): void => {
    if (order.has(name)) return;
    const module = readModule(files, name);
    module.dependencies.forEach(visit);
    order.set(name, module);
  };
  names.map(moduleName).forEach(visit);
  return [...order.values()];
}

function readModule(files: ModuleFiles, name: string): KernelModule {
  const file = files.get(name);
  if (file === undefined) throw new GuestBuildError(`The kernel package has no module ${name}.`);
  const bytes = readFileSync(file);
  return { name, bytes: withoutSignature(bytes), dependencies: moduleDependencies(bytes) };
}

/** The `.modinfo` section holds strings that end with a NUL, one of them "depends=" and names between commas. */
export function moduleDependencies(module: Buffer): string[] {
  const names = /\0depends=([^\0]*)/.exec(module.toString('latin1'))?.[1] ?? '';
  return names.split(',').filter(Boolean).map(moduleName);
}

/**
 * Cuts off the signature that is appended to a module: Debian's kernel loads modules without one, and a guest's
 * emulated processor need not check two dozen RSA signatures.
 * Source: the kernel's include/linux/module_signature.h (12 bytes, the last four the signature's length, big endian).
 */
export function withoutSignature(module: Buffer): Buffer {
  const magic = '~Module signature appended~\n';
  if (module.subarray(-magic.length).toString('latin1') !== magic) return module;
  const information = module.length - magic.length - 12;
  return module.subarray(0, information - module.readUInt32BE(information + 8));
}

function moduleName(name: string): string {
  return name.replaceAll('-', '_');
}

// The project's own lint: what goes wrong with coroutines, MaybePromise and 53-bit offsets and no general linter knows.
// `node scripts/lint/coroutines.ts` checks every source, test and script that tsconfig.json names.
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript-api';
import { checkFile, type Finding } from './rules.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Whether the core's own rules hold for a file: all of it but the protocol drivers, and co.ts, which runs coroutines. */
export function isCore(path: string): boolean {
  return /^src\/(block|binary|codec)\//.test(path) && !/^src\/block\/(protocol\/|co\.ts$)/.test(path);
}

/** All findings in the files of a program that lie in the project, in order of path and line. */
export function checkProgram(program: ts.Program, core: (path: string) => boolean): Finding[] {
  const checker = program.getTypeChecker();
  return program
    .getSourceFiles()
    .filter((source) => !source.isDeclarationFile && !source.fileName.includes('/node_modules/'))
    .flatMap((source) => checkFile(checker, source, core(relative(root, source.fileName))));
}

function readProject(): ts.ParsedCommandLine {
  const config = ts.getParsedCommandLineOfConfigFile(
    `${root}/tsconfig.json`,
    {},
    {
      ...ts.sys,
      onUnRecoverableConfigFileDiagnostic: (diagnostic) => {
        throw new Error(ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n'));
      },
    },
  );
  if (config === undefined) throw new Error('tsconfig.json cannot be read');
  return config;
}

if (import.meta.main) {
  const project = readProject();
  const program = ts.createProgram(project.fileNames, project.options);
  const findings = checkProgram(program, isCore);
  for (const { file, line, rule, message } of findings) {
    console.error(`${relative(root, file)}:${line}: ${rule}: ${message}`);
  }
  console.log(`coroutine lint: ${project.fileNames.length} files, ${findings.length} findings`);
  process.exitCode = findings.length === 0 ? 0 : 1;
}

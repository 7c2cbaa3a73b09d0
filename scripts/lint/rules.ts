import ts from 'typescript-api';
import { isUsed } from './coroutine-use.ts';
import { isAlwaysPromise, isArrayLike, isCoroutine, isMaybePromiseOfScalar, mayBePromise } from './types.ts';

export interface Finding {
  readonly file: string;
  readonly line: number;
  readonly rule: keyof typeof messages;
  readonly message: string;
}

export const messages = {
  'coroutine-dropped': 'this makes a coroutine that nobody runs: write `yield* f()`, `start(f())` or `return f()`',
  'yield-maybe-promise': 'this may not be a promise: write `yield* settle(...)`',
  'void-promise':
    'a promise thrown away with `void` needs a comment, on its line or the one above, that says why it is safe',
  'maybe-promise-tested': 'this may still be a promise, which is always true and equals nothing: settle it first',
  'core-async': 'the core waits in coroutines (`Co<T>`), not with async and await',
  'offset-bits': 'bit operators cut an offset or a length to 32 bits: use arithmetic (Math.floor, %, *)',
} as const;

interface Scope {
  readonly checker: ts.TypeChecker;
  /** The rules for the core alone apply: its async is in the protocol drivers, and in co.ts that runs coroutines. */
  readonly core: boolean;
}

type Rule = (node: ts.Node, scope: Scope) => keyof typeof messages | undefined;

const droppedCoroutine: Rule = (node, { checker }) =>
  ts.isCallExpression(node) && isCoroutine(checker, checker.getTypeAtLocation(node)) && !isUsed(checker, node)
    ? 'coroutine-dropped'
    : undefined;

const yieldedMaybePromise: Rule = (node, { checker }) => {
  if (!ts.isYieldExpression(node) || node.asteriskToken !== undefined || node.expression === undefined)
    return undefined;
  const type = checker.getTypeAtLocation(node.expression);
  return mayBePromise(type) && !isAlwaysPromise(type) ? 'yield-maybe-promise' : undefined;
};

/** A comment on the statement's own line or on the line above it. */
function isExplained(node: ts.Node): boolean {
  const source = node.getSourceFile();
  const lines = source.text.split('\n');
  const first = source.getLineAndCharacterOfPosition(node.getStart()).line;
  const last = source.getLineAndCharacterOfPosition(node.getEnd()).line;
  return /\/\/|\/\*|\*\//.test(lines[last]?.slice(-200) ?? '') || /^\s*(\/\/|\/?\*)/.test(lines[first - 1] ?? '');
}

const voidedPromise: Rule = (node, { checker }) =>
  ts.isVoidExpression(node) && mayBePromise(checker.getTypeAtLocation(node.expression)) && !isExplained(node)
    ? 'void-promise'
    : undefined;

/** The expressions that a node treats as a truth value or compares with something that is no promise. */
function testedExpressions(node: ts.Node): readonly ts.Expression[] {
  if (ts.isIfStatement(node) || ts.isWhileStatement(node) || ts.isDoStatement(node)) return [node.expression];
  if (ts.isConditionalExpression(node)) return [node.condition];
  if (ts.isPrefixUnaryExpression(node) && node.operator === ts.SyntaxKind.ExclamationToken) return [node.operand];
  if (!ts.isBinaryExpression(node)) return [];
  switch (node.operatorToken.kind) {
    case ts.SyntaxKind.AmpersandAmpersandToken:
    case ts.SyntaxKind.BarBarToken:
      return [node.left];
    case ts.SyntaxKind.EqualsEqualsEqualsToken:
    case ts.SyntaxKind.ExclamationEqualsEqualsToken:
      return isAbsence(node.left) || isAbsence(node.right) ? [] : [node.left, node.right];
    default:
      return [];
  }
}

function isAbsence(node: ts.Expression): boolean {
  return node.kind === ts.SyntaxKind.NullKeyword || (ts.isIdentifier(node) && node.text === 'undefined');
}

const testedMaybePromise: Rule = (node, { checker }) =>
  testedExpressions(node).some((tested) => isMaybePromiseOfScalar(checker.getTypeAtLocation(tested)))
    ? 'maybe-promise-tested'
    : undefined;

const asyncInCore: Rule = (node, { core }) => {
  if (!core) return undefined;
  const isAsync = node.kind === ts.SyntaxKind.AsyncKeyword && !ts.isIdentifier(node);
  return isAsync || ts.isAwaitExpression(node) || (ts.isForOfStatement(node) && node.awaitModifier !== undefined)
    ? 'core-async'
    : undefined;
};

const bitOperators = new Set([
  ts.SyntaxKind.BarToken,
  ts.SyntaxKind.AmpersandToken,
  ts.SyntaxKind.CaretToken,
  ts.SyntaxKind.LessThanLessThanToken,
  ts.SyntaxKind.GreaterThanGreaterThanToken,
  ts.SyntaxKind.GreaterThanGreaterThanGreaterThanToken,
  ts.SyntaxKind.BarEqualsToken,
  ts.SyntaxKind.AmpersandEqualsToken,
  ts.SyntaxKind.CaretEqualsToken,
  ts.SyntaxKind.LessThanLessThanEqualsToken,
  ts.SyntaxKind.GreaterThanGreaterThanEqualsToken,
  ts.SyntaxKind.GreaterThanGreaterThanGreaterThanEqualsToken,
]);

/** Whether an operand is, by its name and type, an offset or a length that may need more than 32 bits. */
function isWideOperand(operand: ts.Expression, checker: ts.TypeChecker): boolean {
  const name = ts.isPropertyAccessExpression(operand) ? operand.name : operand;
  if (!ts.isIdentifier(name) || !/(offset|length)$/i.test(name.text)) return false;
  if (ts.isPropertyAccessExpression(operand) && isArrayLike(checker, checker.getTypeAtLocation(operand.expression))) {
    return false;
  }
  return (checker.getTypeAtLocation(operand).flags & ts.TypeFlags.NumberLike) !== 0;
}

const bitsOfOffset: Rule = (node, { checker, core }) => {
  if (!core) return undefined;
  const operands =
    ts.isBinaryExpression(node) && bitOperators.has(node.operatorToken.kind) ? [node.left, node.right] : [];
  if (ts.isPrefixUnaryExpression(node) && node.operator === ts.SyntaxKind.TildeToken) operands.push(node.operand);
  return operands.some((operand) => isWideOperand(operand, checker)) ? 'offset-bits' : undefined;
};

const rules: readonly Rule[] = [
  droppedCoroutine,
  yieldedMaybePromise,
  voidedPromise,
  testedMaybePromise,
  asyncInCore,
  bitsOfOffset,
];

/**
 * Runs every rule over one file.
 *
 * @param core whether the rules for the core alone apply to the file.
 */
export function checkFile(checker: ts.TypeChecker, source: ts.SourceFile, core: boolean): Finding[] {
  const findings: Finding[] = [];
  const visit = (node: ts.Node): void => {
    for (const rule of rules) {
      const broken = rule(node, { checker, core });
      if (broken === undefined) continue;
      const line = source.getLineAndCharacterOfPosition(node.getStart()).line + 1;
      findings.push({ file: source.fileName, line, rule: broken, message: messages[broken] });
    }
    // Not forEachChild: it leaves out modifiers such as `async` of some nodes.
    node.getChildren(source).forEach(visit);
  };
  visit(source);
  return findings;
}

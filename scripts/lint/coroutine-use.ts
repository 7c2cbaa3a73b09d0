import ts from 'typescript-api';
import { acceptsCoroutine } from './types.ts';

// Where does a coroutine that was just made go? Calling a generator function runs none of its body: a coroutine that nobody
// runs is work that silently never happens.

/** The node around an expression, past parentheses and type assertions. */
function skipWrappers(node: ts.Node): ts.Node {
  let outer = node;
  while (
    ts.isParenthesizedExpression(outer.parent) ||
    ts.isAsExpression(outer.parent) ||
    ts.isSatisfiesExpression(outer.parent) ||
    ts.isNonNullExpression(outer.parent)
  ) {
    outer = outer.parent;
  }
  return outer;
}

/** Whether the function that holds this `return` or this body hands the coroutine on to someone who knows what it is. */
function isHandedOn(checker: ts.TypeChecker, holder: ts.Node): boolean {
  if (!ts.isFunctionLike(holder)) return false;
  if ('asteriskToken' in holder && holder.asteriskToken !== undefined) return false;
  if (!ts.isArrowFunction(holder) && !ts.isFunctionExpression(holder)) return true;
  const contextual = checker.getContextualType(holder);
  const signatures = contextual?.getNonNullableType().getCallSignatures() ?? [];
  if (holder.type !== undefined || signatures.length === 0) return true;
  return signatures.some((signature) => acceptsCoroutine(checker, signature.getReturnType()));
}

function enclosingFunction(node: ts.Node): ts.Node {
  return ts.findAncestor(node.parent, ts.isFunctionLike) ?? node.getSourceFile();
}

/** Whether some use of a variable runs the coroutine that it holds, or hands it on. */
function isVariableUsed(checker: ts.TypeChecker, declaration: ts.VariableDeclaration): boolean {
  const symbol = checker.getSymbolAtLocation(declaration.name);
  let used = false;
  const visit = (node: ts.Node): void => {
    if (used) return;
    const isUse = ts.isIdentifier(node) && node !== declaration.name && checker.getSymbolAtLocation(node) === symbol;
    if (isUse && isUsed(checker, node)) used = true;
    else ts.forEachChild(node, visit);
  };
  visit(declaration.getSourceFile());
  return used;
}

function isTypedPlace(checker: ts.TypeChecker, expression: ts.Expression): boolean {
  const place = checker.getContextualType(expression);
  return place !== undefined && acceptsCoroutine(checker, place);
}

/**
 * Whether the coroutine that an expression evaluates to is run or handed on as a coroutine.
 *
 * @param node an expression whose type is a coroutine.
 */
export function isUsed(checker: ts.TypeChecker, node: ts.Node): boolean {
  const value = skipWrappers(node) as ts.Expression;
  const parent = value.parent;
  if (ts.isYieldExpression(parent)) return parent.asteriskToken !== undefined;
  if (ts.isReturnStatement(parent)) return isHandedOn(checker, enclosingFunction(parent));
  if (ts.isArrowFunction(parent)) return isHandedOn(checker, parent);
  if (ts.isConditionalExpression(parent)) return parent.condition !== value && isUsed(checker, parent);
  if (ts.isPropertyAccessExpression(parent)) return /^(next|throw|return)$/.test(parent.name.text);
  if (ts.isVariableDeclaration(parent)) return isVariableUsed(checker, parent);
  if (ts.isBinaryExpression(parent)) {
    const isAssignment = parent.operatorToken.kind === ts.SyntaxKind.EqualsToken;
    return isAssignment ? isTypedPlace(checker, value) : parent.right === value && isUsed(checker, parent);
  }
  return isTypedPlace(checker, value);
}

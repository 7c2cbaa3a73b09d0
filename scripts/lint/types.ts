import ts from 'typescript-api';

// The questions that the rules ask about types. They use TypeScript 5's programming interface, because TypeScript 7,
// which checks and builds the project, has none.

function constituents(type: ts.Type): readonly ts.Type[] {
  return type.isUnion() ? type.types : [type];
}

function isNamed(type: ts.Type, name: string): boolean {
  return type.getSymbol()?.getName() === name;
}

/** Whether a value of this type can be a promise. */
export function mayBePromise(type: ts.Type): boolean {
  return constituents(type).some((part) => isNamed(part, 'Promise'));
}

/** Whether a value of this type is always a promise. */
export function isAlwaysPromise(type: ts.Type): boolean {
  return constituents(type).every((part) => isNamed(part, 'Promise'));
}

/** Whether this is `T | Promise<T>` for a T that code might be tempted to test or compare as if it were there already. */
export function isMaybePromiseOfScalar(type: ts.Type): boolean {
  const scalar = ts.TypeFlags.BooleanLike | ts.TypeFlags.NumberLike | ts.TypeFlags.StringLike | ts.TypeFlags.BigIntLike;
  return mayBePromise(type) && constituents(type).some((part) => (part.flags & scalar) !== 0);
}

/** Whether this is a coroutine, `Co<T>`: a generator that yields nothing but promises. */
export function isCoroutine(checker: ts.TypeChecker, type: ts.Type): boolean {
  if (type.aliasSymbol?.getName() === 'Co') return true;
  if (!isNamed(type, 'Generator')) return false;
  const yielded = checker.getTypeArguments(type as ts.TypeReference)[0];
  return yielded !== undefined && (yielded.flags & ts.TypeFlags.Never) === 0 && isAlwaysPromise(yielded);
}

/** Whether a place of this type takes a coroutine as a coroutine: `Co<T>`, `Co<T> | undefined` or, of a callback, `Co<T> | void`. */
export function acceptsCoroutine(checker: ts.TypeChecker, type: ts.Type): boolean {
  const absent = ts.TypeFlags.Undefined | ts.TypeFlags.Null | ts.TypeFlags.Void;
  const present = constituents(type).filter((part) => (part.flags & absent) === 0);
  return present.length > 0 && present.every((part) => isCoroutine(checker, part));
}

/** Whether this is an array, a typed array or a string, whose length always fits 32 bits. */
export function isArrayLike(checker: ts.TypeChecker, type: ts.Type): boolean {
  if ((type.flags & ts.TypeFlags.StringLike) !== 0 || checker.isArrayLikeType(type)) return true;
  return constituents(type).every((part) =>
    /(Array|ArrayBuffer|DataView|String)$/.test(part.getSymbol()?.getName() ?? ''),
  );
}

/** The file of rules: sections `[inject-error]` and `[set-state]` with lines `key = "value"`, in the syntax of QEMU's -readconfig. */
import { BlockError } from '../../error.ts';
import { INJECT_ERROR_OPTIONS, SET_STATE_OPTIONS, type RuleText, type RuleTexts } from './rules.ts';

const SECTIONS: Readonly<Record<string, readonly string[]>> = {
  'inject-error': INJECT_ERROR_OPTIONS,
  'set-state': SET_STATE_OPTIONS,
};

/** @throws BlockError `invalid` for what is no section, no option of its section, or no line of such a file */
export function parseConfig(text: string): RuleTexts {
  const rules: Record<string, RuleText[]> = { 'inject-error': [], 'set-state': [] };
  let section: { readonly name: string; readonly rule: Record<string, string> } | undefined;
  for (const [index, line] of text.split('\n').entries()) {
    if (/^\s*(#.*)?$/.test(line)) continue;
    const header = /^\[\s*([^\s\]"]+)(?:\s+"[^"]*")?\s*\]?\s*$/.exec(line);
    const name = header?.[1];
    if (name !== undefined) {
      const list = Object.hasOwn(rules, name) ? rules[name] : undefined;
      if (list === undefined) throw new BlockError('invalid', `There is no option group '${name}'`);
      section = { name, rule: {} };
      list.push(section.rule);
      continue;
    }
    const option = /^\s*([^\s=]+)\s*=\s*"([^"]*)"\s*$/.exec(line);
    if (option === null || section === undefined) {
      const why = section === undefined ? 'no group defined' : `parse error in line ${index + 1}`;
      throw new BlockError('invalid', why);
    }
    const key = option[1]!;
    if (SECTIONS[section.name]?.includes(key) !== true) throw new BlockError('invalid', `Invalid parameter '${key}'`);
    section.rule[key] = option[2]!;
  }
  return { injectError: rules['inject-error']!, setState: rules['set-state']! };
}

// `npm run formats` writes docs/FORMATS.md from what the drivers say of themselves; a test compares the two.
import { writeFileSync } from 'node:fs';
import type { FormatCapabilities, FormatDriver } from '../src/block/driver.ts';
import { formatDrivers } from '../src/block/format/index.ts';
import type { OptionSchema } from '../src/block/options.ts';
import { CASES_PER_FORMAT, QCOW2_CASES } from '../test/fuzz/case-counts.ts';
import { root } from './run.ts';

/** One column for each capability, so that a new one cannot be forgotten here. */
const CAPABILITIES: Readonly<Record<keyof FormatCapabilities, string>> = {
  write: 'write',
  create: 'create',
  backing: 'backing file',
  snapshots: 'snapshots',
  bitmaps: 'bitmaps',
  check: 'check',
  repair: 'repair',
  resize: 'resize',
  compress: 'compress',
};

const names = (schema: OptionSchema | undefined): string =>
  Object.keys(schema ?? {})
    .toSorted()
    .map((name) => `\`${name}\``)
    .join(', ') || '–';

const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');

const count = (cases: number): string => cases.toLocaleString('en');

const yes = (is: boolean): string => (is ? 'yes' : '–');

function capabilitiesOf(driver: FormatDriver): string[] {
  const keys = Object.keys(CAPABILITIES) as (keyof FormatCapabilities)[];
  return [
    `\`${driver.name}\``,
    ...keys.map((key) => yes(driver.capabilities[key])),
    yes(driver.amendOptions !== undefined),
    yes(driver.sequential !== undefined),
    yes(driver.measure !== undefined),
  ];
}

function optionsOf({ name, openOptions, createOptions, amendOptions }: FormatDriver): string[] {
  return [`\`${name}\``, names(openOptions), names(createOptions), names(amendOptions)];
}

/** The text of docs/FORMATS.md. */
export function formatsDocument(drivers: readonly FormatDriver[] = formatDrivers): string {
  const sorted = drivers.toSorted((a, b) => a.name.localeCompare(b.name, 'en'));
  return `# Formats

What each format's driver says of itself. Every format can be opened, read, probed, mapped and converted from. Written by
\`npm run formats\`: do not edit.

${table(['format', ...Object.values(CAPABILITIES), 'amend', 'download as a stream', 'measure'], sorted.map(capabilitiesOf))}

## Options

Names are QEMU's where QEMU has the format.

${table(['format', 'open', 'create', 'amend'], sorted.map(optionsOf))}

## What is tested

With every change, every format that is written goes through a model of its disk, with the power cut after every write and with every
n-th request of its file failing, and takes turns with qemu-img and qemu-io on one image; hostile images of all formats are opened,
mapped, checked, read, written and repaired. \`npm run test:slow\` does the same over many more seeds, with ${count(CASES_PER_FORMAT)} hostile images
of each format and ${count(QCOW2_CASES)} of qcow2.
`;
}

if (import.meta.main) writeFileSync(`${root}docs/FORMATS.md`, formatsDocument());

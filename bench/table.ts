/** The tables that a run prints. */
import type { Bench, BenchRow, RatioRow, Wanted } from './bench.ts';

const NAME_WIDTH = 58;

/** Everything that a module measured. */
export function tables(title: string, { rows, ratios }: Bench): string {
  const lines: string[] = [];
  if (rows.length > 0) lines.push('', header(title, 'best', 'median'), ...rows.map(rowLine));
  if (ratios.length > 0) {
    const processor = ratios.some((row) => row.processor !== undefined)
      ? ['', 'cpu limit', 'cpu ours', 'cpu ratio']
      : [];
    lines.push(
      '',
      header(title, 'limit', 'ours', 'ratio', 'of bests', 'wanted', ...processor),
      ...ratios.map(ratioLine),
    );
  }
  return lines.join('\n');
}

function header(title: string, ...columns: string[]): string {
  return title.padEnd(NAME_WIDTH) + columns.map((column) => column.padStart(10)).join('');
}

function rowLine(row: BenchRow): string {
  const speed = row.megabytesPerSecond === undefined ? '' : `${row.megabytesPerSecond.toFixed(0).padStart(8)} MB/s`;
  return `${row.name.padEnd(NAME_WIDTH)}${number(row.best)}${number(row.median)} ${row.unit.padEnd(4)}${speed}`;
}

function ratioLine(row: RatioRow): string {
  const ratios = row.ratio.toFixed(2).padStart(10) + row.bestRatio.toFixed(2).padStart(10);
  const wanted = `${wantedText(row.wanted).padStart(10)} ${row.unit.padEnd(9)}`;
  return `${row.name.padEnd(NAME_WIDTH)}${number(row.limit)}${number(row.ours)}${ratios}${wanted}${processorText(row)}${row.met ? '' : '  MISSED'}`;
}

function processorText({ processor }: RatioRow): string {
  if (processor === undefined) return '';
  const ratio = (processor.ours / processor.limit).toFixed(2).padStart(10);
  return number(processor.limit) + number(processor.ours) + ratio;
}

function number(value: number): string {
  return value.toPrecision(4).padStart(10);
}

export function wantedText(wanted: Wanted): string {
  return 'atLeast' in wanted ? `>= ${wanted.atLeast}` : `<= ${wanted.atMost}`;
}

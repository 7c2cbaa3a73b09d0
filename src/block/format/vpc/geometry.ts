/** Cylinders, heads and sectors, as a BIOS of the time counted them. Source: VHD specification, "Appendix: CHS Calculation". */
import { MAX_GEOMETRY_SECTORS } from './layout.ts';

export interface Geometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectorsPerTrack: number;
}

export const sectorsOf = ({ cylinders, heads, sectorsPerTrack }: Geometry): number =>
  cylinders * heads * sectorsPerTrack;

/** The geometry that the specification gives a disk of so many sectors; it may hold fewer. */
export function geometryFor(sectors: number): Geometry {
  const total = Math.min(sectors, MAX_GEOMETRY_SECTORS);
  let sectorsPerTrack = 17;
  let heads = 16;
  let tracks: number;
  if (total >= 65535 * 16 * 63) {
    sectorsPerTrack = 255;
    tracks = Math.floor(total / sectorsPerTrack);
  } else {
    tracks = Math.floor(total / sectorsPerTrack);
    heads = Math.max(4, Math.floor((tracks + 1023) / 1024));
    if (tracks >= heads * 1024 || heads > 16) {
      sectorsPerTrack = 31;
      heads = 16;
      tracks = Math.floor(total / sectorsPerTrack);
    }
    if (tracks >= heads * 1024) {
      sectorsPerTrack = 63;
      heads = 16;
      tracks = Math.floor(total / sectorsPerTrack);
    }
  }
  return { cylinders: Math.floor(tracks / heads), heads, sectorsPerTrack };
}

/** The smallest geometry of the specification's that holds at least so many sectors. */
export function geometryAtLeast(sectors: number): Geometry {
  const wanted = Math.min(sectors, MAX_GEOMETRY_SECTORS);
  let geometry = geometryFor(wanted);
  for (let more = 1; sectorsOf(geometry) < wanted; more++) geometry = geometryFor(wanted + more);
  return geometry;
}

/** What is done to a valid image by seed: structured damage, hostile numbers in every field, and raw bytes. */
import { harmlessDamages, mappingDamages, Qcow2File, snapshotDamages } from '../support/qcow2-damage.ts';
import type { Random } from '../support/random.ts';

const damages = { ...harmlessDamages, ...mappingDamages, ...snapshotDamages };
const damageNames = Object.keys(damages);

/** Numbers that programs stumble over. */
function hostileNumber(random: Random): bigint {
  const near = BigInt(random.between(-2, 2));
  const powers = [0n, 1n, 9n, 16n, 31n, 32n, 41n, 52n, 53n, 55n, 56n, 61n, 62n, 63n, 64n];
  return BigInt.asUintN(64, (1n << random.pick(powers)) + near);
}

const HEADER_FIELDS = [8, 16, 20, 24, 32, 36, 40, 48, 56, 60, 64, 72, 80, 88, 96, 100, 104] as const;
const EXTENSIONS = [0, 0xe279_2aca, 0x6803_f857, 0x2385_2875, 0x0537_be77, 0x4441_5441, 0x5350_4e44] as const;
const WAYS = {
  structure: 5,
  header: 3,
  feature: 1,
  table: 4,
  refcount: 1,
  snapshot: 1,
  bitmap: 1,
  bytes: 3,
  extension: 2,
  zeroed: 1,
} as const;

/** A field of 32 or 64 bits gets a hostile number, or one near to what it has. */
function changeField(file: Qcow2File, at: number, random: Random): void {
  if (random.chance(0.5)) file.setUint32(at + random.pick([0, 4]), Number(hostileNumber(random) & 0xffff_ffffn));
  else file.change(at, (old) => (random.chance(0.7) ? hostileNumber(random) : old + BigInt(random.between(-2, 2))));
}

function changeOne(file: Qcow2File, places: readonly number[], random: Random): void {
  if (places.length === 0) return;
  const known = places.map((offset) => file.entry(offset));
  file.change(random.pick(places), (entry) =>
    random.pick([hostileNumber(random), entry ^ hostileNumber(random), random.pick([0n, ...known])]),
  );
}

/** A field of something of `length` bytes that begins at one of some places. */
function changeStructure(file: Qcow2File, places: readonly number[], length: number, random: Random): void {
  if (places.length > 0) changeField(file, random.pick(places) + 4 * random.below(length / 4), random);
}

/** @returns what was done, in a word */
function damage(file: Qcow2File, random: Random): string {
  const way = random.weighted(WAYS);
  switch (way) {
    case 'structure': {
      const name = random.pick(damageNames);
      damages[name]?.(file, random);
      return name;
    }
    case 'header':
      changeField(file, random.pick(HEADER_FIELDS), random);
      break;
    case 'feature':
      file.change(random.pick([72, 80, 88]), (bits) => bits ^ (1n << BigInt(random.pick([0, 1, 2, 3, 4, 5, 63]))));
      break;
    case 'table':
      changeOne(file, [...file.usedL1(), ...file.usedL2(), ...file.usedRefcountTable()], random);
      break;
    case 'refcount':
      file.changeRefcount(random.below(file.bytes.length / file.clusterSize + 1), random.pick([-2, -1, 1, 2, 100]));
      break;
    case 'snapshot':
      changeStructure(file, file.snapshotEntries(), 56, random);
      break;
    case 'bitmap':
      changeStructure(file, file.bitmapPlaces(), 32, random);
      break;
    case 'bytes': {
      const at = random.below(file.bytes.length);
      for (let count = random.between(1, 8); count > 0; count--) file.setByte(at + random.below(32), random.below(256));
      break;
    }
    case 'extension': {
      const at = 104 + 8 * random.below(40);
      file.setUint32(at, random.pick(EXTENSIONS));
      file.setUint32(at + 4, random.pick([0, 1, 8, 24, 4096, 0x7fff_ffff, 0xffff_ffff]));
      break;
    }
    case 'zeroed': {
      const at = random.below(file.bytes.length);
      file.bytes.fill(0, at, at + file.clusterSize);
      break;
    }
  }
  return way;
}

/** @returns the damaged file, and in which ways it was damaged */
export function mutate(image: Uint8Array, random: Random): { readonly bytes: Uint8Array; readonly ways: string[] } {
  const file = new Qcow2File(image.slice());
  const ways: string[] = [];
  for (let count = random.between(1, 4); count > 0; count--) ways.push(damage(file, random));
  if (!random.chance(0.15)) return { bytes: file.bytes, ways };
  const length = random.below(image.length);
  return { bytes: file.bytes.slice(0, length), ways: [...ways, `cut off at ${length}`] };
}

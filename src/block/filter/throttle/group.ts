/**
 * A throttle group: limits that several disks share. Each member's requests go in order; members take turns.
 *
 * Source: QEMU, "The QEMU throttling infrastructure" (throttle.txt), and QAPI, ThrottleLimits.
 */
import { LeakyBucket } from './bucket.ts';
import { BUCKETS, parseThrottleLimits, type BucketName, type ThrottleLimits } from './limits.ts';

export type Direction = 'read' | 'write';

/** Time, for tests to hold in their hands. */
export interface ThrottleClock {
  nowMs(): number;
  /** Calls back once, after so many milliseconds or a little more. */
  after(milliseconds: number, wake: () => void): void;
}

const realClock: ThrottleClock = {
  nowMs: () => performance.now(),
  after: (milliseconds, wake) => {
    setTimeout(wake, Math.ceil(milliseconds));
  },
};

interface Waiting {
  readonly bytes: number;
  readonly go: () => void;
}

/** One disk in a group. */
export class ThrottleMember {
  readonly queues: Readonly<Record<Direction, Waiting[]>> = { read: [], write: [] };
  /** How many drained sections its disk is in: nothing of it waits meanwhile. */
  draining = 0;
}

export class ThrottleGroup {
  #limits: ThrottleLimits;
  readonly #clock: ThrottleClock;
  #buckets: Readonly<Record<BucketName, LeakyBucket>>;
  #leakedAtMs: number;
  readonly #members: ThrottleMember[] = [];
  /** The member that had its turn last, of each direction. */
  readonly #last: Record<Direction, number> = { read: 0, write: 0 };
  readonly #timerArmed: Record<Direction, boolean> = { read: false, write: false };

  /**
   * @param limits `iops-total`, `bps-read-max` and so on, as in QEMU's object `throttle-group`
   * @param clock default: the time there is
   * @throws BlockError `invalid` for limits that contradict each other
   */
  constructor(limits: Readonly<Record<string, unknown>> = {}, clock: ThrottleClock = realClock) {
    this.#limits = parseThrottleLimits(limits);
    this.#clock = clock;
    this.#buckets = bucketsFor(this.#limits);
    this.#leakedAtMs = clock.nowMs();
  }

  /** Changes the limits; what waits is looked at again. @throws BlockError `invalid`; the limits are as before then */
  configure(limits: Readonly<Record<string, unknown>>): void {
    this.#limits = parseThrottleLimits(limits);
    this.#buckets = bucketsFor(this.#limits);
    this.#schedule('read');
    this.#schedule('write');
  }

  join(): ThrottleMember {
    const member = new ThrottleMember();
    this.#members.push(member);
    return member;
  }

  /** A member that leaves has nothing waiting any more. */
  leave(member: ThrottleMember): void {
    this.#letAllGo(member);
    this.#members.splice(this.#members.indexOf(member), 1);
  }

  /** @returns what a request must wait for, or undefined when it may pass at once */
  admit(member: ThrottleMember, direction: Direction, bytes: number): Promise<void> | undefined {
    if (member.draining > 0 || (!this.#anyWaiting(direction) && this.#waitSeconds(direction) === 0)) {
      this.#account(direction, bytes);
      return undefined;
    }
    const waiting = new Promise<void>((go) => {
      member.queues[direction].push({ bytes, go });
    });
    this.#schedule(direction);
    return waiting;
  }

  /** Lets everything of a member go, in order; nothing of it waits until `drainEnd`. */
  drainBegin(member: ThrottleMember): void {
    member.draining++;
    this.#letAllGo(member);
  }

  drainEnd(member: ThrottleMember): void {
    member.draining--;
  }

  #letAllGo(member: ThrottleMember): void {
    for (const direction of ['read', 'write'] as const) {
      for (const { bytes, go } of member.queues[direction].splice(0)) {
        this.#account(direction, bytes);
        go();
      }
    }
  }

  #anyWaiting(direction: Direction): boolean {
    return this.#members.some((member) => member.queues[direction].length > 0);
  }

  /** Lets requests go as long as they may, and comes back when the next one may. */
  #schedule(direction: Direction): void {
    if (this.#timerArmed[direction]) return;
    for (;;) {
      const member = this.#nextMember(direction);
      if (member === undefined) return;
      const seconds = this.#waitSeconds(direction);
      if (seconds > 0) {
        this.#timerArmed[direction] = true;
        this.#clock.after(seconds * 1000, () => {
          this.#timerArmed[direction] = false;
          this.#schedule(direction);
        });
        return;
      }
      const { bytes, go } = member.queues[direction].shift()!;
      this.#account(direction, bytes);
      go();
    }
  }

  /** The next one that has something waiting, after the one that had its turn. */
  #nextMember(direction: Direction): ThrottleMember | undefined {
    const count = this.#members.length;
    for (let step = 1; step <= count; step++) {
      const index = (this.#last[direction] + step) % count;
      const member = this.#members[index]!;
      if (member.queues[direction].length === 0) continue;
      // Only one that gets its turn counts: this is asked again when the time has come.
      if (this.#waitSeconds(direction) === 0) this.#last[direction] = index;
      return member;
    }
    return undefined;
  }

  #waitSeconds(direction: Direction): number {
    this.#leak();
    return Math.max(
      this.#buckets['bps-total'].waitSeconds(),
      this.#buckets['iops-total'].waitSeconds(),
      this.#buckets[`bps-${direction}`].waitSeconds(),
      this.#buckets[`iops-${direction}`].waitSeconds(),
    );
  }

  #leak(): void {
    const now = this.#clock.nowMs();
    const seconds = (now - this.#leakedAtMs) / 1000;
    if (seconds <= 0) return;
    this.#leakedAtMs = now;
    for (const name of BUCKETS) this.#buckets[name].leak(seconds);
  }

  #account(direction: Direction, bytes: number): void {
    const { iopsSize } = this.#limits;
    const operations = iopsSize > 0 && bytes > iopsSize ? bytes / iopsSize : 1;
    this.#buckets['bps-total'].add(bytes);
    this.#buckets[`bps-${direction}`].add(bytes);
    this.#buckets['iops-total'].add(operations);
    this.#buckets[`iops-${direction}`].add(operations);
  }
}

function bucketsFor(limits: ThrottleLimits): Readonly<Record<BucketName, LeakyBucket>> {
  return Object.fromEntries(BUCKETS.map((name) => [name, new LeakyBucket(limits.buckets[name])])) as Record<
    BucketName,
    LeakyBucket
  >;
}

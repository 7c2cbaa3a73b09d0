/**
 * A leaky bucket: each request fills it, time empties it, and while it is over its size requests wait. A bucket that was empty
 * lets a burst through, until it is full.
 *
 * Source: QEMU, "The QEMU throttling infrastructure" (throttle.txt).
 */
export interface BucketLimits {
  /** Units a second in the long run; 0: no limit. */
  readonly average: number;
  /** Units a second during a burst; 0: no bursts but for a tenth of a second's worth. */
  readonly max: number;
  /** Seconds that a burst may last. */
  readonly burstSeconds: number;
}

/** Without bursts, so much of a second's worth may be ahead. */
const SLACK_SECONDS = 0.1;

export class LeakyBucket {
  readonly limits: BucketLimits;
  #level = 0;
  #burstLevel = 0;

  constructor(limits: BucketLimits) {
    this.limits = limits;
  }

  leak(seconds: number): void {
    this.#level = Math.max(0, this.#level - this.limits.average * seconds);
    if (this.limits.burstSeconds > 1) this.#burstLevel = Math.max(0, this.#burstLevel - this.limits.max * seconds);
  }

  /** Seconds until a request may pass. */
  waitSeconds(): number {
    const { average, max, burstSeconds } = this.limits;
    if (average === 0) return 0;
    const size = max === 0 ? average * SLACK_SECONDS : max * burstSeconds;
    const extra = this.#level - size;
    if (extra > 0) return extra / average;
    if (burstSeconds <= 1) return 0;
    const burstExtra = this.#burstLevel - max * SLACK_SECONDS;
    return burstExtra > 0 ? burstExtra / max : 0;
  }

  add(units: number): void {
    if (this.limits.average === 0) return;
    this.#level += units;
    if (this.limits.burstSeconds > 1) this.#burstLevel += units;
  }
}

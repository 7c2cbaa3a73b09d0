/** What blkdebug does with events and requests. */
import { settle, start, type Co, type MaybePromise } from '../../co.ts';
import type { BlockChild, DebugPoints, Filter, FilterLimits, RequestFlags } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { isBlockEvent, type BlockEvent } from '../../events.ts';
import { Breakpoints } from './breakpoints.ts';
import { injectedError } from './errno.ts';
import { injectErrorRule, setStateRule, type InjectError, type IoType, type Rule, type RuleTexts } from './rules.ts';

export class DebugFilter implements Filter {
  readonly limits?: FilterLimits;
  readonly debug: DebugPoints;
  readonly #breakpoints = new Breakpoints();
  /** Newest first, as QEMU keeps them. */
  readonly #rules = new Map<BlockEvent, Rule[]>();
  /** What the last event that rules to inject errors belong to has set off: it stays so until the next such event. */
  #active: InjectError[] = [];
  #state = 1;
  readonly #noFlush: boolean;

  /** @param noFlush nothing goes down to the disk, so nothing can fail there */
  constructor(texts: RuleTexts, limits: FilterLimits | undefined, noFlush = false) {
    this.#noFlush = noFlush;
    if (limits !== undefined) this.limits = limits;
    for (const text of texts.injectError) this.#add(injectErrorRule(text));
    for (const text of texts.setState) this.#add(setStateRule(text));
    this.debug = {
      breakpoint: (event, tag) => this.#setBreakpoint(event, tag),
      removeBreakpoint: (tag) => this.#removeBreakpoint(tag),
      resume: (tag) => this.#breakpoints.resume(tag),
      isSuspended: (tag) => this.#breakpoints.isSuspended(tag),
      observe: (observer) => this.#breakpoints.observe(observer),
    };
    this.event('none');
  }

  event(name: BlockEvent): void {
    const rules = this.#rules.get(name);
    if (rules === undefined || (this.#noFlush && name === 'flush_to_disk')) return;
    let newState = this.#state;
    let injected = false;
    for (const rule of [...rules]) {
      if (rule.state !== 0 && rule.state !== this.#state) continue;
      switch (rule.action) {
        case 'inject-error':
          if (!injected) this.#active = [];
          injected = true;
          this.#active.unshift(rule);
          break;
        case 'set-state':
          newState = rule.newState;
          break;
        case 'suspend':
          // A breakpoint stops one request.
          this.#remove(rule);
          this.#breakpoints.suspend(rule.tag);
      }
    }
    this.#state = newState;
  }

  read(next: BlockChild, offset: number, buffer: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    return this.#checked('read', offset, buffer.length, () => next.read(offset, buffer, flags));
  }

  write(next: BlockChild, offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    return this.#checked('write', offset, data.length, () => next.write(offset, data, flags));
  }

  writeZeroes(next: BlockChild, offset: number, length: number, flags: RequestFlags): MaybePromise<void> {
    return this.#checked('write-zeroes', offset, length, () => next.writeZeroes(offset, length, flags));
  }

  discard(next: BlockChild, offset: number, length: number): MaybePromise<void> {
    return this.#checked('discard', offset, length, () => next.discard(offset, length));
  }

  flush(next: BlockChild): MaybePromise<void> {
    return this.#noFlush ? next.flush() : this.#checked('flush', 0, 0, () => next.flush());
  }

  beforeStatus(offset: number, length: number): MaybePromise<void> {
    return this.#checked('block-status', offset, length, () => undefined);
  }

  /** Nobody can resume what is still stopped. */
  close(): void {
    this.#breakpoints.resumeAll();
  }

  /** Lets a request through, stops it, or fails it. */
  #checked(type: IoType, offset: number, length: number, pass: () => MaybePromise<void>): MaybePromise<void> {
    const stopped = this.#breakpoints.takeStopped();
    const rule = stopped === undefined ? this.#match(type, offset, length) : undefined;
    if (stopped === undefined && rule === undefined) return pass();
    return start(this.#held(stopped, rule, { type, offset, length }, pass));
  }

  *#held(
    stopped: Promise<void> | undefined,
    found: InjectError | undefined,
    request: { readonly type: IoType; readonly offset: number; readonly length: number },
    pass: () => MaybePromise<void>,
  ): Co<void> {
    if (stopped !== undefined) yield stopped;
    const rule = found ?? this.#match(request.type, request.offset, request.length);
    if (rule === undefined) {
      yield* settle(pass());
      return;
    }
    // As a device answers: later, unless the rule wants it at once.
    if (!rule.immediately) yield Promise.resolve();
    throw injectedError(rule.errno, request.type);
  }

  /** The first active rule for a request. One that is meant for one request is used up. */
  #match(type: IoType, offset: number, length: number): InjectError | undefined {
    if (this.#active.length === 0) return undefined;
    const rule = this.#active.find(
      (active) =>
        (active.offset < 0 || (active.offset >= offset && active.offset < offset + length)) && active.iotypes.has(type),
    );
    if (rule === undefined || rule.errno === 0) return undefined;
    if (rule.once) {
      this.#active = this.#active.filter((other) => other !== rule);
      this.#remove(rule);
    }
    return rule;
  }

  #add(rule: Rule): void {
    const rules = this.#rules.get(rule.event);
    if (rules === undefined) this.#rules.set(rule.event, [rule]);
    else rules.unshift(rule);
  }

  #remove(rule: Rule): void {
    const rules = (this.#rules.get(rule.event) ?? []).filter((other) => other !== rule);
    if (rules.length > 0) this.#rules.set(rule.event, rules);
    else this.#rules.delete(rule.event);
  }

  #setBreakpoint(event: string, tag: string): void {
    if (!isBlockEvent(event)) throw new BlockError('not-found', `There is no event '${event}'`);
    this.#add({ action: 'suspend', event, state: 0, tag });
  }

  #removeBreakpoint(tag: string): boolean {
    let found = false;
    for (const rules of [...this.#rules.values()]) {
      for (const rule of [...rules]) {
        if (rule.action !== 'suspend' || rule.tag !== tag) continue;
        this.#remove(rule);
        found = true;
      }
    }
    while (this.#breakpoints.resume(tag)) found = true;
    return found;
  }
}

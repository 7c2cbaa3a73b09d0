/** What a test asks of the harness page, as types that the page and Node share. Everything that passes is plain data. */
import type { BlockdevOptions, CheckResult, CreateOptions, OpenOptions } from '../../src/client/index.ts';
import type { DriveOperation, ErrorAction, ReadErrorPolicy, WriteErrorPolicy } from '../../src/emulator/v86/index.ts';
import type { Operation } from '../../test/support/workload.ts';

export interface DiskFacts {
  /** Bytes. */
  readonly size: number;
  readonly readOnly: boolean;
  readonly format: string;
}

export interface MachineOrder {
  /** Bytes. */
  readonly memory: number;
  readonly readError?: ReadErrorPolicy;
  readonly writeError?: WriteErrorPolicy;
  /** URL of the image that the guest must see wherever it has not written: every read of its drive is compared with it. */
  readonly witness?: string;
}

export interface WorkerMachineOrder {
  /** Bytes. */
  readonly memory: number;
  readonly disk: BlockdevOptions;
}

/** A request of the guest that failed, as the page was told. */
export interface DriveFailure {
  readonly operation: DriveOperation;
  readonly offset: number;
  readonly length: number;
  readonly action: ErrorAction;
  /** Of the BlockError. */
  readonly kind: string;
  readonly message: string;
}

export interface WitnessReport {
  readonly sectorsCompared: number;
  /** Guest sectors that the guest read as something else than the image holds, the first few of them. */
  readonly wrongSectors: readonly number[];
}

/** The functions of the harness page. One that fails throws an Error whose message begins with the BlockError's kind. */
export interface Harness {
  create(options: CreateOptions): Promise<void>;
  /** Opens the page's disk: the one that every other function is about. */
  open(options: BlockdevOptions, settings?: Pick<OpenOptions, 'allow' | 'check'>): Promise<DiskFacts>;
  close(): Promise<void>;
  check(): Promise<CheckResult>;
  delete(options: BlockdevOptions): Promise<void>;
  /** Copies what a URL holds into a file of the browser. */
  storeFile(url: string, path: string): Promise<void>;
  /** Sends a file of the browser, as it is stored, to the site's uploads. */
  uploadFile(path: string, name: string): Promise<void>;
  /** Sends the disk as one image file to the site's uploads. */
  uploadExport(format: 'qcow2' | 'raw', name: string): Promise<void>;
  /** Does guest operations on the disk, several together, and tells `workEvent` of each when it begins and ends. */
  work(operations: readonly Operation[], together: number): Promise<void>;

  /** Starts a PC over the page's disk; what it writes to its serial port comes to `serialOutput`. */
  boot(order: MachineOrder): Promise<void>;
  /** Starts a PC in a worker, beside the block layer. */
  bootInWorker(order: WorkerMachineOrder): Promise<void>;
  type(text: string): void;
  /** Resolves when an error has stopped the machine; at once if one has and it was not resumed. */
  untilStopped(): Promise<DriveFailure>;
  /** Tries what failed again. Resolves to whether the machine runs. */
  resume(): Promise<boolean>;
  driveFailures(): readonly DriveFailure[];
  /** Brings what the guest was told is written onto the disk, as a page does for a guest that never flushes. */
  flushDrives(): Promise<void>;
  witnessReport(): WitnessReport;
  /** Pulls the plug: nothing is flushed that the guest did not flush. The disk stays open. */
  unplug(): Promise<void>;

  usage(): Promise<{ readonly usage: number; readonly quota: number }>;
}

/** An operation of `work` that begins, has succeeded, or has failed. */
export interface WorkEvent {
  readonly id: number;
  readonly state: 'begun' | 'done' | 'failed';
  /** When it failed: the error's kind. */
  readonly kind?: string;
}

/** What Node offers to the page. */
export interface HarnessHost {
  serialOutput(text: string): Promise<void>;
  workEvent(event: WorkEvent): Promise<void>;
}

declare global {
  var harness: Harness;
  var serialOutput: HarnessHost['serialOutput'];
  var workEvent: HarnessHost['workEvent'];
}

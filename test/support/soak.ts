/** What one run of a soak suite did, by name: operations, images, power cuts … */
export type SoakCounts = Readonly<Record<string, number>>;

/**
 * A suite of `npm run soak`: a module in test/soak/ that exports `name` and `run`. The same seed must do the same work.
 */
export interface SoakSuite {
  readonly name: string;
  /**
   * Does one seed's worth of random work, some seconds of it at most.
   *
   * @throws whatever proves a defect.
   */
  run(seed: number): Promise<SoakCounts>;
}

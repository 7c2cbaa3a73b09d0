// The same packages and the same scripts give the same bytes: a disk that somebody keeps as an overlay over a guest's
// image still fits after the image was built again.

/** 2024-01-01, the date of everything that the build makes. */
export const buildTimeSeconds = 1_704_067_200;

/** For programs that ask the clock: mtools, syslinux and xorriso by the first, mke2fs by the second. */
export const reproducible = {
  SOURCE_DATE_EPOCH: String(buildTimeSeconds),
  E2FSPROGS_FAKE_TIME: String(buildTimeSeconds),
} as const;

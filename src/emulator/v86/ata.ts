/** The few numbers of ATA and ATAPI that the adapter needs (ATA8-ACS and SPC/MMC, INCITS). */

/** Commands. */
export const DATA_SET_MANAGEMENT = 0x06;
export const PACKET = 0xa0;
export const STANDBY_IMMEDIATE = 0xe0;
export const FLUSH_CACHE = 0xe7;
export const FLUSH_CACHE_EXT = 0xea;
export const IDENTIFY_DEVICE = 0xec;
export const SET_FEATURES = 0xef;

/** SET FEATURES. */
export const ENABLE_WRITE_CACHE = 0x02;
export const DISABLE_WRITE_CACHE = 0x82;

/** Status register. */
export const STATUS_BUSY = 0x80;
export const STATUS_READY = 0x50;
export const STATUS_FAILED = 0x51;
export const STATUS_ERROR_BIT = 0x01;

/** Error register. */
export const ERROR_UNCORRECTABLE = 0x40;
export const ERROR_ABORTED = 0x04;

/** Bus master status. */
export const DMA_ACTIVE = 0x01;

/** No command. */
export const IDLE_COMMAND = -1;

/** Packet commands. */
export const START_STOP_UNIT = 0x1b;
export const PREVENT_ALLOW_MEDIUM_REMOVAL = 0x1e;
export const READ_10 = 0x28;
export const READ_12 = 0xa8;

/** Sense keys with their additional sense codes. */
export const SENSE_MEDIUM_ERROR = 3;
export const ASC_UNRECOVERED_READ_ERROR = 0x11;
export const SENSE_ILLEGAL_REQUEST = 5;
export const ASC_ADDRESS_OUT_OF_RANGE = 0x21;
export const ASC_MEDIUM_REMOVAL_PREVENTED = 0x53;

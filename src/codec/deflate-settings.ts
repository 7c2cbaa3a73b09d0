/** How clusters of qcow2 are deflated: QEMU's reader is set up for a window of 2^12 bytes, and it writes with the memory level 9. */
export const DEFLATE_WINDOW_BITS = 12;
export const DEFLATE_MEMORY_LEVEL = 9;

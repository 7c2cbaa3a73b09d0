// Checks an image and prints as JSON how much memory the process had at its peak, in MB.
import { readFileSync } from 'node:fs';
import { checkImage, createNodeGraph, startAsync } from '../../src/node/index.ts';

const image = process.argv[2];
if (image === undefined) throw new Error('usage: node bench/support/check-image.ts IMAGE');
const graph = createNodeGraph();
const disk = await graph.open({ driver: 'qcow2', 'read-only': true, file: { driver: 'file', filename: image } });
const result = await startAsync(checkImage(graph, disk.node, 'none'));
await graph.close(disk);
if (result.corruptions + result.leaks + result.checkErrors > 0) throw new Error('the image is not sound');
// `resourceUsage` would tell the peak of the process that started this one, if that was higher.
const kilobytes = Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
console.log(JSON.stringify({ peakMegabytes: (kilobytes * 1024) / 1e6 }));

import { describeCommands } from '../support/cli-commands.ts';

const TABLE = `
  resize data.qcow2 4M => data.qcow2
  resize data.qcow2 +1M; info data.qcow2 => data.qcow2
  resize data.qcow2 1M
  resize data.qcow2 -1M
  resize --shrink data.qcow2 1M; map --output=json data.qcow2 => data.qcow2
  resize --shrink data.qcow2 -1M => data.qcow2
  resize --shrink data.qcow2 -5M
  resize -q data.qcow2 3M => data.qcow2
  resize -f raw data.raw 4M => data.raw
  resize -f raw --shrink data.raw 1024 => data.raw
  resize -f raw data.raw +1000 => data.raw
  resize data.raw +1M => data.raw
  resize --preallocation=full -f raw data.raw 4M => data.raw
  resize --preallocation=falloc -f raw data.raw 4M => data.raw
  resize --preallocation=metadata data.qcow2 4M => data.qcow2
  resize --preallocation=foo data.qcow2 4M
  resize --preallocation=metadata --shrink data.qcow2 1M
  resize top.qcow2 4M => top.qcow2
  resize mid.qcow2 4M => mid.qcow2
  resize old.qcow2 4M => old.qcow2
  resize data.qcow2 +1; resize -f raw --shrink data.raw 1000; resize -q old.qcow2 -100000; resize data.qcow2 +18446744073709551616 => data.raw
  resize --image-opts driver=qcow2,file.filename=data.qcow2,read-only=on 4M
  resize 'json:{"driver":"qcow2","read-only":true,"file":{"driver":"file","filename":"data.qcow2"}}' 4M
  resize data.qcow2 x
  resize data.qcow2 -x
  resize data.qcow2
  resize
  resize a b 1M
  resize nofile 1M
  resize -f qcow2 data.raw 1M
  resize --image-opts driver=qcow2,file.filename=data.qcow2 4M => data.qcow2
  bench -c 10 -d 2 data.qcow2
  bench -c 10 -s 64k -S 128k -o 4k data.qcow2
  bench -w -c 10 -d 2 --pattern=5 data.qcow2 => data.qcow2
  bench -w --flush-interval=2 -c 10 -d 2 data.qcow2 => data.qcow2
  bench -w --flush-interval=2 --no-drain -c 10 -d 2 data.qcow2 => data.qcow2
  bench -q -c 10 data.qcow2
  bench -c 10 -t none data.qcow2
  bench -t foo data.qcow2
  bench -i foo data.qcow2
  bench -i threads -c 3 data.qcow2
  bench -c x data.qcow2
  bench -d x data.qcow2
  bench -o x data.qcow2
  bench -s x data.qcow2
  bench -S x data.qcow2
  bench --pattern=300 data.qcow2
  bench --flush-interval=2 data.qcow2
  bench --flush-interval=1 -d 2 -w data.qcow2
  bench
  bench nofile
`;

describeCommands('spindle-img beside qemu-img: resize and bench', TABLE);

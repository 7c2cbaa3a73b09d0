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
  # Caches: the third write fails if each of those before it was flushed.
  ~ bench -w -c 8 -d 1 -s 512 --pattern=7 -t writethrough --image-opts driver=raw,file.driver=blkdebug,file.image.filename=data.raw,file.set-state.0.event=flush_to_os,file.set-state.0.state=1,file.set-state.0.new_state=2,file.set-state.1.event=flush_to_os,file.set-state.1.state=2,file.set-state.1.new_state=3,file.inject-error.0.event=write_aio,file.inject-error.0.state=3 => data.raw
  ~ bench -w -c 8 -d 1 -s 512 --pattern=7 -t directsync --image-opts driver=raw,file.driver=blkdebug,file.image.filename=data.raw,file.set-state.0.event=flush_to_os,file.set-state.0.state=1,file.set-state.0.new_state=2,file.set-state.1.event=flush_to_os,file.set-state.1.state=2,file.set-state.1.new_state=3,file.inject-error.0.event=write_aio,file.inject-error.0.state=3 => data.raw
  bench -w -c 8 -d 1 -s 512 --pattern=7 -t writeback --image-opts driver=raw,file.driver=blkdebug,file.image.filename=data.raw,file.set-state.0.event=flush_to_os,file.set-state.0.state=1,file.set-state.0.new_state=2,file.set-state.1.event=flush_to_os,file.set-state.1.state=2,file.set-state.1.new_state=3,file.inject-error.0.event=write_aio,file.inject-error.0.state=3 => data.raw
  bench -w -c 8 -d 1 -s 512 --pattern=7 -t unsafe --flush-interval 1 --image-opts driver=raw,file.driver=blkdebug,file.image.filename=data.raw,file.set-state.0.event=flush_to_os,file.set-state.0.state=1,file.set-state.0.new_state=2,file.set-state.1.event=flush_to_os,file.set-state.1.state=2,file.set-state.1.new_state=3,file.inject-error.0.event=write_aio,file.inject-error.0.state=3 => data.raw
  bench -w -c 8 -d 1 -s 512 --pattern=7 -t writethrough --image-opts cache.no-flush=on,driver=raw,file.driver=blkdebug,file.image.filename=data.raw,file.set-state.0.event=flush_to_os,file.set-state.0.state=1,file.set-state.0.new_state=2,file.set-state.1.event=flush_to_os,file.set-state.1.state=2,file.set-state.1.new_state=3,file.inject-error.0.event=write_aio,file.inject-error.0.state=3 => data.raw
  bench -n -c 3 data.raw; bench -n -t none -c 3 data.raw; bench -i native -c 3 top.qcow2; bench -i native -t directsync -w -c 3 data.qcow2
  bench -c 010 data.raw; bench -c 0x10 data.raw; bench -c -1 data.raw; bench -c '' data.raw; bench -s 1.5 data.raw
`;

describeCommands('spindle-img beside qemu-img: resize and bench', TABLE);

import { describeCommands } from '../support/cli-commands.ts';

const TABLE = `
  convert data.raw x.raw => x.raw
  convert data.qcow2 x.raw => x.raw
  convert -O qcow2 data.raw x.qcow2 => x.qcow2
  convert -f qcow2 -O qcow2 data.qcow2 x.qcow2; map --output=json x.qcow2 => x.qcow2
  convert -O qcow2 top.qcow2 x.qcow2 => x.qcow2
  convert -O qcow2 mid.qcow2 x.qcow2 => x.qcow2
  convert -O qcow2 onraw.qcow2 x.qcow2 => x.qcow2
  convert -O qcow2 old.qcow2 x.qcow2 => x.qcow2
  convert -O qcow2 small.qcow2 x.qcow2 => x.qcow2
  convert -O qcow2 packed.qcow2 x.qcow2 => x.qcow2
  convert -O qcow2 sparse.qcow2 x.qcow2 => x.qcow2
  convert -O qcow2 -o cluster_size=4k,compat=0.10 data.raw x.qcow2; map --output=json x.qcow2 => x.qcow2
  convert -O qcow2 -o preallocation=metadata data.raw x.qcow2 => x.qcow2
  convert -O qcow2 -o preallocation=full data.raw x.qcow2 => x.qcow2
  convert -O raw -o preallocation=full data.qcow2 x.raw => x.raw
  convert -O raw -S 0 data.qcow2 x.raw; map --output=json x.raw => x.raw
  convert -O qcow2 -S 0 data.qcow2 x.qcow2; map --output=json x.qcow2 => x.qcow2
  convert -c -S 0 -O qcow2 data.qcow2 x.qcow2; map --output=json x.qcow2 => x.qcow2
  convert -O raw -S 64k data.qcow2 x.raw => x.raw
  convert -O raw -S 512 data.qcow2 x.raw => x.raw
  convert -W -m 4 -O qcow2 data.raw x.qcow2 => x.qcow2
  convert -C -O qcow2 data.raw x.qcow2 => x.qcow2
  convert -q -p -O qcow2 data.raw x.qcow2 => x.qcow2
  convert -T none -t none -O qcow2 data.raw x.qcow2 => x.qcow2
  convert -t writethrough -O qcow2 data.raw x.qcow2 => x.qcow2
  convert -U -O qcow2 data.raw x.qcow2 => x.qcow2
  convert -r 1G -O qcow2 data.raw x.qcow2 => x.qcow2
  convert -O qcow2 data.raw data.qcow2 => data.qcow2
  convert -n -O qcow2 data.raw base.qcow2 => base.qcow2
  convert -n -O raw base.qcow2 data.raw => data.raw
  convert -n --target-is-zero -O raw data.qcow2 empty.raw
  convert -n -O raw data.qcow2 empty.raw
  convert -n --target-is-zero -O raw small.qcow2 empty.raw => empty.raw
  convert -n --target-image-opts data.raw driver=qcow2,file.filename=base.qcow2 => base.qcow2
  convert --image-opts driver=qcow2,file.filename=data.qcow2 x.raw => x.raw
  convert --image-opts -O qcow2 driver=raw,offset=65536,size=131072,file.filename=data.raw x.qcow2 => x.qcow2
  convert data.qcow2 base.qcow2 x.raw => x.raw
  convert -O qcow2 empty.qcow2 data.raw small.qcow2 x.qcow2 => x.qcow2
  convert -O qcow2 -B base.qcow2 -F qcow2 mid.qcow2 x.qcow2; map --output=json x.qcow2 => x.qcow2
  convert -O qcow2 -B mid.qcow2 -F qcow2 top.qcow2 x.qcow2; map --output=json x.qcow2 => x.qcow2
  convert -O qcow2 -o backing_file=base.qcow2,backing_fmt=qcow2 mid.qcow2 x.qcow2 => x.qcow2
  convert -O qcow2 --salvage data.raw x.qcow2 => x.qcow2
  convert 'json:{"driver":"qcow2","file":{"driver":"file","filename":"data.qcow2"}}' x.raw => x.raw
  convert -O qcow2 nothing x.qcow2 => x.qcow2
  convert -c -O qcow2 data.raw x.qcow2; map --output=json x.qcow2 => x.qcow2
  convert -c -O qcow2 -o compression_type=zstd,cluster_size=4k top.qcow2 x.qcow2 => x.qcow2
  convert -c -W -m 4 -O qcow2 -o compression_type=zlib packed.qcow2 x.qcow2 => x.qcow2
  convert -c -O qcow2 -B base.qcow2 -F qcow2 mid.qcow2 x.qcow2 => x.qcow2
  convert -n -o cluster_size=4k -O qcow2 data.raw base.qcow2; convert -O qcow2 -B base.qcow2 -F qcow2 data.raw data.raw y
  convert --bitmaps -O raw data.qcow2 y; convert --bitmaps -O qcow2 data.raw y; convert -n --bitmaps -O raw data.qcow2 data.raw
  convert nofile x
  convert data.raw nofolder/x
  convert -O qcow2 data.raw nofolder/x
  convert -O qcow2 -f qcow2 data.raw x
  convert -O foo data.raw x
  convert -c data.raw x; convert -c -n -O raw data.qcow2 data.raw; convert -c -O qcow2 -o encrypt.format=luks data.raw x
  convert -c -O qcow2 -o preallocation=metadata data.raw x
  convert -n data.raw nope
  convert -n -O qcow2 data.raw empty.raw
  convert -S x data.raw x
  convert -S 1 data.raw x
  convert -S 32M data.raw x
  convert -m 0 data.raw x
  convert -m 17 data.raw x
  convert -m x data.raw x
  convert --target-is-zero data.raw x
  convert --image-opts -f raw data.raw x
  convert --target-image-opts data.raw driver=raw,file.filename=x
  convert -n --target-image-opts -O raw data.raw driver=raw,file.filename=x
  convert -O qcow2 --skip-broken-bitmaps data.qcow2 x
  convert -l foo data.qcow2 x
  convert -l foo data.raw x
  convert -r x data.raw x
  convert -m 0x4 data.raw x; convert -m 010 -O qcow2 data.raw y; convert -C --salvage data.raw z => x y
  convert -C -S 4k data.raw x
  convert -t foo data.raw x
  convert -T foo data.raw x
  convert data.raw
  convert
  convert -O qcow2 -o foo=1 data.raw x
  convert -O qcow2 -o cluster_size=3 data.raw x
  convert -O qcow2 -o size=1M data.raw x
  convert -O qcow2 -o size=4M data.raw x.qcow2 => x.qcow2
  convert -O raw -B base.qcow2 data.raw x
  convert -O qcow2 -B base.qcow2 data.raw x
  convert data.raw ''; convert -O qcow2 -o help data.raw; convert -n -o help data.raw x; convert --source-image-opts driver=raw,file.filename=data.raw x
  convert -l snapshot.foo=1 data.qcow2 x; convert --bitmaps -O qcow2 data.qcow2 data.qcow2 x; convert -O qcow2 -o backing_file=base.qcow2 data.raw x
  convert -O raw data.raw blkdebug::x; convert -O raw data.raw json:{}; convert -O blkdebug data.raw x; convert -O raw data.raw file:y.raw => y.raw
  convert -q --salvage -O qcow2 --image-opts driver=raw,file.driver=blkdebug,file.image.filename=data.raw,file.inject-error.0.event=none,file.inject-error.0.sector=10 x.qcow2 => x.qcow2
  dd --image-opts if=driver=raw,file.driver=blkdebug,file.image.filename=data.raw,file.inject-error.0.event=none,file.inject-error.0.sector=10 of=x
  convert orphan.qcow2 x
  convert data.raw data.raw
  convert -O qcow2 data.qcow2 data.qcow2
  dd if=data.raw of=x.raw => x.raw
  dd if=data.raw of=x.raw bs=64k count=3 => x.raw
  dd if=data.qcow2 of=x.raw bs=64k count=20 skip=2 => x.raw
  dd if=data.qcow2 of=x.raw bs=1000 skip=3 => x.raw
  dd -f qcow2 -O qcow2 if=data.qcow2 of=x.qcow2 => x.qcow2
  dd -U -O qcow2 bs=1M if=top.qcow2 of=x.qcow2 => x.qcow2
  dd if=data.raw of=x.raw skip=100000 => x.raw
  dd if=data.raw of=x.raw bs=0
  dd if=data.raw of=x.raw bs=x
  dd if=data.raw of=x.raw count=x
  dd if=data.raw of=x.raw foo=1
  dd if=data.raw of=x.raw foo
  dd if=data.raw
  dd if=nofile of=x
  dd -O foo if=data.raw of=x
  dd if=data.raw of=nofolder/x
  dd --image-opts if=driver=qcow2,file.filename=data.qcow2 of=x.raw => x.raw
`;

describeCommands('spindle-img beside qemu-img: convert and dd', TABLE);

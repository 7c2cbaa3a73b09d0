import { describeCommands } from '../support/cli-commands.ts';

const TABLE = `
  check empty.qcow2
  check data.qcow2
  check --output=json data.qcow2
  check small.qcow2
  check -q data.qcow2
  check -f qcow2 top.qcow2
  check data.raw
  check -q --output=json data.raw
  check leak.qcow2
  check --output=json leak.qcow2
  check -q leak.qcow2
  check corrupt.qcow2
  check --output=json corrupt.qcow2
  check -r leaks leak.qcow2; check leak.qcow2 => leak.qcow2
  check -r all leak.qcow2 => leak.qcow2
  check -r all --output=json leak.qcow2 => leak.qcow2
  ~check -q -r all corrupt.qcow2 => corrupt.qcow2
  check -r foo data.qcow2
  check -T foo data.qcow2
  check -T none data.qcow2
  check orphan.qcow2
  check -U -r all data.qcow2; check -q --output=json data.qcow2; check --output; check --output=xml data.qcow2
  check --output=json --image-opts driver=qcow2,file.filename=data.qcow2; check --output=json ./data.qcow2
  check nofile
  check -f qcow2 data.raw
  check -U data.qcow2
  check --image-opts driver=qcow2,file.filename=data.qcow2
  check
  map empty.qcow2
  map data.qcow2
  map --output=json data.qcow2
  map --output=json empty.qcow2
  map small.qcow2
  map --output=json small.qcow2
  map top.qcow2
  map --output=json top.qcow2
  map mid.qcow2
  map --output=json mid.qcow2
  map onraw.qcow2
  map --output=json onraw.qcow2
  map data.raw
  map --output=json data.raw
  map packed.qcow2
  map --output=json packed.qcow2
  map --output=json sparse.qcow2
  map sparse.qcow2
  measure -O qcow2 sparse.qcow2
  map --start-offset=64k --output=json data.qcow2
  map --start-offset=1000 --max-length=70000 --output=json data.qcow2
  map --max-length=64k data.qcow2
  map --start-offset=1G --output=json data.qcow2
  map --start-offset=1G data.qcow2
  map --start-offset=x data.qcow2
  map --max-length=x data.qcow2
  map orphan.qcow2
  map --output=foo data.qcow2
  map -f raw --output=json nothing
  map --output=json --image-opts driver=raw,file.driver=blkdebug,file.image.filename=data.raw,file.inject-error.0.event=none,file.inject-error.0.iotype=block-status
  measure -O qcow2 --image-opts driver=qcow2,file.driver=blkdebug,file.image.filename=data.qcow2,file.inject-error.0.event=l2_load
  compare --image-opts -f raw driver=raw,file.filename=data.raw data.raw; bench -o 2M -c 1 data.raw; bench -o 2097000 -s 1000 -c 1 data.raw
  measure
  measure --size 1G
  measure --size 1000
  measure --size 1G -O qcow2
  measure --size 1G --output=json -O qcow2
  measure -O qcow2 -o cluster_size=4k --size 1G
  measure -O qcow2 -o refcount_bits=1,cluster_size=512 --size 100M
  measure -O qcow2 -o preallocation=full --size 1G
  measure -O qcow2 -o preallocation=metadata --size 1G
  measure -O qcow2 data.raw
  measure -O qcow2 data.qcow2
  measure -O qcow2 -o cluster_size=4k data.qcow2
  measure -O qcow2 top.qcow2
  measure --output=json -O qcow2 top.qcow2
  measure -O qcow2 old.qcow2
  measure -O raw top.qcow2
  measure -f raw -O qcow2 data.raw
  measure --size 1G data.raw
  measure --size x
  measure -O foo --size 1G
  measure -O qcow2 -o foo=1 --size 1G
  measure -O qcow2 -o cluster_size=3 --size 1G
  measure nofile
  measure -f qcow2 --size 1G
  measure a b
  measure --size +1M; measure --size 1.; measure --size ' 1M'; measure --size '1M '; measure --size .5M; measure -O qcow2 -o size --size 1M
  compare data.raw data.qcow2
  compare data.qcow2 data.raw
  compare -f raw -F qcow2 data.raw data.qcow2
  compare data.qcow2 data.qcow2
  compare -s data.qcow2 data.qcow2
  compare -s data.raw data.qcow2
  compare -p data.raw data.qcow2
  compare -q data.raw data.qcow2
  compare -q data.raw base.qcow2
  compare data.raw base.qcow2
  compare base.qcow2 data.raw
  compare base.qcow2 mid.qcow2
  compare mid.qcow2 base.qcow2
  compare top.qcow2 mid.qcow2
  compare mid.qcow2 top.qcow2
  compare empty.qcow2 empty.raw
  compare -s empty.qcow2 empty.raw
  compare -s empty.qcow2 data.raw
  compare -s mid.qcow2 base.qcow2
  compare empty.qcow2 data.raw
  compare data.raw empty.qcow2
  compare empty.qcow2 small.qcow2
  compare nothing empty.raw
  compare -f raw nothing empty.raw
  compare nofile data.raw
  compare data.raw nofile
  compare data.raw
  compare a b c
  compare -T foo data.raw data.raw
  compare -F qcow2 data.raw data.raw
  compare orphan.qcow2 data.raw
`;

describeCommands('spindle-img beside qemu-img: check, map, measure and compare', TABLE);

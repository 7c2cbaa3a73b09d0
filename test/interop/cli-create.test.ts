import { describeCommands } from '../support/cli-commands.ts';

const TABLE = `
  create -f qcow2 x.qcow2 1M => x.qcow2
  create -f qcow2 x.qcow2 1000 => x.qcow2
  create -f qcow2 -o size=3k x.qcow2 => x.qcow2
  create -q -f qcow2 x.qcow2 1.5G => x.qcow2
  create x.raw 1M => x.raw
  create -f raw x.raw 1000 => x.raw
  create -f raw -o preallocation=full x.raw 1M => x.raw
  create -f raw -o preallocation=falloc x.raw 1M => x.raw
  create -f qcow2 -o cluster_size=4k,compat=0.10 x.qcow2 10M => x.qcow2
  create -f qcow2 -o cluster_size=2M,refcount_bits=1,lazy_refcounts=on x.qcow2 10M => x.qcow2
  create -f qcow2 -o preallocation=metadata x.qcow2 10M => x.qcow2
  create -f qcow2 -o preallocation=full -o cluster_size=8k x.qcow2 1M => x.qcow2
  create -f qcow2 -b base.qcow2 -F qcow2 x.qcow2 => x.qcow2
  create -f qcow2 -b base.qcow2 -F qcow2 x.qcow2 5M => x.qcow2
  create -f qcow2 -o backing_file=data.raw,backing_fmt=raw x.qcow2 => x.qcow2
  create -f qcow2 -u -b 'no,such"file' -F raw x.qcow2 1M
  create -f qcow2 -b nofile -F raw x.qcow2
  create -f qcow2 -b orphan.qcow2 -F qcow2 x.qcow2
  create -f qcow2 -b data.raw x.qcow2
  create -f qcow2 -b base.qcow2 x.qcow2
  create -f qcow2 -u -b base.qcow2 x.qcow2 1M
  create -f qcow2 -b x.qcow2 -F qcow2 x.qcow2 1M
  create -f qcow2 -b data.raw -F foo x.qcow2
  create -f qcow2 -b data.raw -F qcow2 x.qcow2
  create -f raw -b base.qcow2 -F qcow2 x.raw 1M
  create -f qcow2 -F qcow2 x.qcow2 1M
  create -f qcow2 data.qcow2 1M => data.qcow2
  create
  create x
  create ''
  create -f foo x 1M
  create -f qcow2 x 1Z
  create -f qcow2 x 1M 2M
  create -f qcow2 x 9E
  create -f qcow2 x 9000P
  create -f qcow2 x -1
  create -f qcow2 x -- -1
  create -f qcow2 -o size=1M x 2M
  create -f qcow2 -o size=xx x
  create -f qcow2 -o foo=bar x 1M
  create -f qcow2 -o cluster_size=3 x 1M
  create -f qcow2 -o cluster_size=4M x 1M
  create -f qcow2 -o lazy_refcounts=maybe x 1M
  create -f qcow2 -o preallocation=foo x 1M
  create -f qcow2 -o refcount_bits=3 x 1M
  create -f qcow2 -o compat=0.10,refcount_bits=8 x 1M
  create -f qcow2 -o compat=0.10,lazy_refcounts=on x 1M
  create -f qcow2 -o compat=9 x 1M
  create -f qcow2 -o cluster_size=512 x 1P
  create nofolder/x 1M
  create -f qcow2 nofolder/x 1M
  create -q -f qcow2 --object secret,id=s,data=x x.qcow2 1M => x.qcow2
  create -q -f qcow2 --obj secret,id=s,data=x x.qcow2 1M => x.qcow2
  create -q -f qcow2 --object=secret,id=s,data=x x.qcow2 1M => x.qcow2
  create -q -f qcow2 --object secret,data=x x.qcow2 1M
  create -fqcow2 -qo cluster_size=64k x.qcow2 1M => x.qcow2
  create -f
  create -f qcow2 -o ,size=1M x; create -f qcow2 -o size=1M, x; create -f qcow2 -o '' x 1M; create -f qcow2 -o = x 1M
  create -f qcow2 x.qcow2 +1M; create -f qcow2 y.qcow2 1.M; create -f qcow2 -o size=18446744073709551616 z => x.qcow2 y.qcow2
  create -f raw -o nocow=off,extent_size_hint=1M,preallocation=off x.raw 1M => x.raw
  create -f vdi -o preallocation=falloc,nocow=on x.vdi 1M => x.vdi
  create -f vhdx -o preallocation=x y 1M; create -f vpc y 65T; create -f qcow2 -o compression_type=lz y 1M
  create -f raw x 1.5; create -f raw x 1.0; create -f raw y 1.5b; create -f qcow2 -o lazy_refcounts=yes y 1M => x y
  create -f qcow2 a:b 1M; create -f qcow2 ./a:b.qcow2 1M; info ./a:b.qcow2; create -q -f qcow2 'ä€😀' 1M; info --output=json 'ä€😀'; create -q -f raw file:x 1M => x
  create -f qcow2 -b '' x 1M; create -f raw blkdebug::x 1M; create -f raw null-co:// 1M; create -f raw json:{} 1M; create -f blkdebug x 1M; create -f dmg x 1M
  create -f qcow2 -o preallocation=metadata -b base.qcow2 -F qcow2 x; create -q -u -f qcow2 -b a:b -F raw y 1M; map y; info --backing-chain y
  create -Z x 1M
  create --nonsense x 1M
  foo
  frob --help
  --frob
`;

describeCommands('spindle-img beside qemu-img: create and the command line', TABLE);

import { describeCommands } from '../support/cli-commands.ts';

const TABLE = `
  commit mid.qcow2; map --output=json mid.qcow2 => base.qcow2 mid.qcow2
  commit -q mid.qcow2 => base.qcow2 mid.qcow2
  commit -d mid.qcow2; map --output=json mid.qcow2 => base.qcow2 mid.qcow2
  commit -f qcow2 -t none mid.qcow2 => base.qcow2
  commit top.qcow2 => mid.qcow2 top.qcow2
  commit -b base.qcow2 top.qcow2; map --output=json top.qcow2 => base.qcow2
  commit -b mid.qcow2 top.qcow2 => mid.qcow2
  commit onraw.qcow2 => data.raw onraw.qcow2
  commit -r 1G mid.qcow2 => base.qcow2
  commit --image-opts driver=qcow2,file.filename=mid.qcow2 => base.qcow2
  commit -b ./base.qcow2 top.qcow2 => base.qcow2
  commit --image-opts driver=qcow2,file.filename=top.qcow2,backing.driver=qcow2,backing.file.filename=base.qcow2 => base.qcow2 mid.qcow2
  commit -b nope top.qcow2
  commit base.qcow2
  commit -f raw data.raw
  commit orphan.qcow2
  commit nofile
  commit
  commit -t foo mid.qcow2
  commit -r x mid.qcow2
  rebase -b data.qcow2 -F qcow2 mid.qcow2; info mid.qcow2; map --output=json mid.qcow2 => mid.qcow2
  rebase -b data.raw -F raw mid.qcow2 => mid.qcow2
  rebase -b base.qcow2 -F qcow2 top.qcow2; info top.qcow2; map --output=json top.qcow2 => top.qcow2
  rebase -b '' mid.qcow2; info mid.qcow2 => mid.qcow2
  rebase -b '' top.qcow2 => top.qcow2
  rebase -b empty.qcow2 -F qcow2 top.qcow2 => top.qcow2
  rebase -u -b nope -F qcow2 mid.qcow2; info mid.qcow2
  rebase -u -b '' mid.qcow2; info mid.qcow2 => mid.qcow2
  rebase -u -b base.qcow2 -F qcow2 orphan.qcow2 => orphan.qcow2
  rebase -u mid.qcow2; info mid.qcow2 => mid.qcow2
  rebase -q -t none -T none -b data.qcow2 -F qcow2 mid.qcow2 => mid.qcow2
  rebase -b base.qcow2 -F qcow2 data.qcow2; info data.qcow2 => data.qcow2
  rebase -b base.qcow2 mid.qcow2
  rebase -u -b base.qcow2 mid.qcow2
  rebase -b base.qcow2 -F foo mid.qcow2
  rebase -b nope -F qcow2 mid.qcow2
  rebase -b base.qcow2 -F qcow2 orphan.qcow2
  rebase -f raw -b base.qcow2 -F qcow2 data.raw
  rebase mid.qcow2
  rebase -b base.qcow2
  rebase nofile -b base.qcow2
  rebase -t foo -b base.qcow2 -F qcow2 mid.qcow2
  snapshot -l data.qcow2
  snapshot data.qcow2
  snapshot -c one data.qcow2; snapshot -l data.qcow2; info data.qcow2; info --output=json data.qcow2 => data.qcow2
  snapshot -c one data.qcow2; snapshot -c two data.qcow2; snapshot -d one data.qcow2; snapshot -l data.qcow2; snapshot -a two data.qcow2 => data.qcow2
  snapshot -c one data.qcow2; convert -l one -O qcow2 data.qcow2 x.qcow2; convert -l snapshot.name=one data.qcow2 x.raw; convert -l snapshot.id=1 data.qcow2 y.raw => x.qcow2 x.raw y.raw
  snapshot -c one data.qcow2; snapshot -d 1 data.qcow2; snapshot -d '' data.qcow2; snapshot -a 1 data.qcow2 => data.qcow2
  snapshot -d nope data.raw; snapshot -a nope --image-opts driver=raw,file.filename=data.raw; snapshot -l ''
  snapshot -a nope data.qcow2
  snapshot -d nope data.qcow2
  snapshot -d s1 -a s1 data.qcow2; snapshot -d s1 -d s2 data.qcow2; amend -o help -f foo
  snapshot -c äöü data.qcow2; snapshot -l data.qcow2; info --output=json data.qcow2 => data.qcow2
  snapshot -l data.raw
  snapshot -c x data.raw
  snapshot -f raw -c x data.raw
  snapshot
  snapshot nofile
  snapshot -q -c one old.qcow2; snapshot -l old.qcow2 => old.qcow2
  bitmap --add data.qcow2 b0; info data.qcow2; info --output=json data.qcow2 => data.qcow2
  bitmap --add -g 4k data.qcow2 b0; bitmap --add --disable data.qcow2 b1; info data.qcow2; measure -O qcow2 data.qcow2 => data.qcow2
  bitmap --add data.qcow2 b0; bitmap --add data.qcow2 b1; bitmap --merge b0 data.qcow2 b1; bitmap --remove data.qcow2 b0; bitmap --clear data.qcow2 b1; bitmap --disable data.qcow2 b1; bitmap --enable data.qcow2 b1; info data.qcow2 => data.qcow2
  bitmap --add data.qcow2 b0; convert --bitmaps -O qcow2 data.qcow2 x.qcow2; info x.qcow2 => x.qcow2
  bitmap --add base.qcow2 b0; bitmap --add data.qcow2 b1; bitmap --merge b0 -b base.qcow2 -F qcow2 data.qcow2 b1; info data.qcow2 => data.qcow2
  bitmap --add data.qcow2 b0; bitmap --add data.qcow2 b0
  bitmap --remove data.qcow2 nope
  bitmap --clear data.qcow2 nope
  bitmap --merge nope data.qcow2 b0
  bitmap data.qcow2 b0
  bitmap --add data.qcow2
  bitmap --add -g x data.qcow2 b0
  ~bitmap --add -g 3 data.qcow2 b0
  bitmap --clear -g 4k data.qcow2 b0
  bitmap --clear -b base.qcow2 data.qcow2 b0
  bitmap --add nofile b0
  bitmap --add -f qcow2 old.qcow2 b0
  amend -o compat=0.10 data.qcow2; info data.qcow2 => data.qcow2
  amend -o compat=1.1 old.qcow2; info old.qcow2 => old.qcow2
  amend -o lazy_refcounts=on data.qcow2; info data.qcow2 => data.qcow2
  amend -o refcount_bits=8 data.qcow2; info data.qcow2 => data.qcow2
  amend -o size=4M data.qcow2 => data.qcow2
  amend -q -t none -o size=4M,refcount_bits=32 data.qcow2 => data.qcow2
  amend data.qcow2
  amend -o foo=1 data.qcow2
  amend -o cluster_size=4k data.qcow2
  amend -o backing_file=base.qcow2,backing_fmt=qcow2 data.qcow2
  amend -f raw -o size=1 data.raw
  amend -o size=x data.qcow2; amend -o compat=x data.qcow2; amend -o lazy_refcounts=x data.qcow2; amend -o ,size=4M data.qcow2
  commit -b data.raw -f raw data.raw; rebase -b '' -f raw data.raw; rebase -u -b '' -f raw data.raw
  amend -o help -f raw
  amend -o help
  amend -t foo -o size=1 data.qcow2
  amend -o size=4M nofile
`;

describeCommands('spindle-img beside qemu-img: commit, rebase, snapshot, bitmap and amend', TABLE);

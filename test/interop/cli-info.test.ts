import { describeCommands } from '../support/cli-commands.ts';

const TABLE = `
  info empty.qcow2
  info --output=json empty.qcow2
  info -f qcow2 data.qcow2
  info data.raw
  info --output=json data.raw
  info -f raw data.qcow2
  info --output json -f raw data.qcow2
  info small.qcow2
  info old.qcow2
  info --output=json old.qcow2
  info -U data.qcow2
  info top.qcow2
  info --backing-chain top.qcow2
  info --backing-chain --output=json top.qcow2
  info ./top.qcow2
  info --backing-chain ./top.qcow2
  info --output=json ./top.qcow2
  info orphan.qcow2
  info --backing-chain orphan.qcow2
  info --backing-chain orphan2.qcow2
  info --backing-chain loop.qcow2
  info --image-opts driver=qcow2,file.driver=file,file.filename=data.qcow2
  info --image-opts driver=qcow2,file.filename=data.qcow2
  info --image-opts -f qcow2 driver=qcow2,file.filename=data.qcow2
  info nothing
  info text.txt
  info nofile
  info -f qcow2 data.raw
  info -f qcow2 nothing
  info -f foo data.raw
  info foo:bar
  info
  info a b
  info --output=xml data.raw
  info --output
  info .
  # Names that hold options
  info blkdebug::data.qcow2; info --output=json -f qcow2 blkdebug::data.qcow2
  info -f raw blkdebug::data.raw; info --output=json blkverify:data.raw:data.qcow2
  info 'json:{"driver":"qcow2","file":{"driver":"blkdebug","image":{"driver":"file","filename":"data.qcow2"}}}'
  info 'json:{"driver":"qcow2","file":{"driver":"blkdebug","align":4096,"image":{"driver":"file","filename":"data.qcow2"}}}'
  info 'json:{"driver":"qcow2","file.driver":"blkdebug","file.image.filename":"data.qcow2","file.align":"4096"}'
  info --image-opts driver=qcow2,file.driver=blkdebug,file.align=512,file.max-transfer=65536,file.inject-error.0.event=pwritev,file.inject-error.0.errno=5,file.set-state.0.event=pwritev,file.set-state.0.new_state=2,file.opt-write-zero=512,file.max-write-zero=1024,file.opt-discard=512,file.max-discard=1024,file.image.filename=data.qcow2
  info --image-opts driver=blkdebug,image.driver=qcow2,image.file.filename=data.qcow2
  info --image-opts driver=blkdebug,align=512,image.driver=qcow2,image.file.filename=data.qcow2
  info --image-opts driver=blkverify,raw.filename=data.raw,test.driver=qcow2,test.file.filename=data.qcow2
  info --image-opts driver=blkverify,raw.driver=raw,raw.size=2M,raw.file.filename=data.raw,test.driver=qcow2,test.file.filename=data.qcow2
  info --object throttle-group,id=tg,x-iops-total=100 --image-opts driver=throttle,throttle-group=tg,file.driver=qcow2,file.file.filename=data.qcow2
  info --image-opts driver=qcow2,file.driver=preallocate,file.prealloc-size=1M,file.file.filename=data.qcow2
  info --image-opts driver=compress,file.driver=qcow2,file.file.filename=data.qcow2
  info --image-opts driver=raw,size=512k,file.driver=blkdebug,file.image.filename=data.raw
  info --image-opts driver=null-co,read-zeroes=on; info --image-opts driver=null-co,latency-ns=5; info --output=json null-co://
  info --image-opts driver=null-co,size=1M,read-zeroes=on; info --image-opts driver=raw,file.driver=null-co,file.size=1M
  info 'json:{"driver":"qcow2","backing":null,"file":{"driver":"file","filename":"top.qcow2"}}'
  info 'json:{"driver":"qcow2","l2-cache-size":65536,"file":{"driver":"file","filename":"data.qcow2","locking":"off","aio":"threads"}}'
  info file:data.qcow2; info --image-opts file.filename=data.qcow2; info --image-opts driver=file,filename=data.qcow2
  # Options that do not make an image
  ~ info json:x; info json:{
  info json:{}; info 'json:{"driver":"qcow2"}'
  info --image-opts ''; info --image-opts driver=qcow2; info --image-opts x
  info --image-opts driver=qcow2,foo=bar,file.filename=data.qcow2; info --image-opts driver=qcow2,file.foo=bar,file.filename=data.qcow2
  info --image-opts driver=qcow2,file=data.qcow2; info 'json:{"driver":"qcow2","file":"d"}'; info --image-opts driver=foo,file.filename=data.qcow2
  info blkdebug:nofile:data.raw; info blkdebug::nofile; info blkverify:data.raw:nofile; info blkverify:nofile:data.raw
  info --object secret,id=s,data=abc --image-opts driver=luks,key-secret=s,file.filename=data.raw
  info --image-opts filename=data.qcow2; info --image-opts filename=data.raw,driver=raw; info 'json:{"filename":"data.qcow2"}'; info --image-opts data.qcow2,driver=qcow2
  info --image-opts file.filename=nbd:x; info --image-opts file.filename=a:b; info --image-opts file.filename=file:data.qcow2; info --image-opts file.filename=json:{}
  info --image-opts driver=qcow2,file.filename=data.qcow2,cache.direct=on; info --image-opts driver=qcow2,file.filename=data.qcow2,file.cache.no-flush=on; info --image-opts driver=qcow2,file.filename=data.qcow2,cache.no-flush=x
  info --image-opts driver=qcow2,file.filename=data.qcow2,cache.writeback=on; info --image-opts driver=qcow2,file.filename=data.qcow2,file.cache.writeback=on; info --image-opts driver=qcow2,file.filename=data.qcow2,cache=foo
  info --image-opts driver=qcow2,file.filename=data.qcow2,file.aio=native; info --image-opts driver=qcow2,file.filename=data.qcow2,file.aio=native,cache.direct=on; info --image-opts driver=qcow2,file.filename=data.qcow2,file.aio=foo
  info -U --image-opts driver=qcow2,file.filename=data.qcow2,force-share=off; info -U --image-opts driver=qcow2,file.filename=data.qcow2,force-share=on
  info --image-opts driver=qcow2,file.filename=data.qcow2,discard=on,auto-read-only=on,lazy-refcounts=true; info --image-opts driver=qcow2,file.filename=data.qcow2,discard=x; info --image-opts driver=qcow2,file.filename=data.qcow2,detect-zeroes=x
  info --image-opts driver=qcow2,file.filename=data.qcow2,node-name=1x; info --image-opts driver=qcow2,file.filename=data.qcow2,l2-cache-size=x; info --image-opts driver=raw,size=x,file.filename=data.raw; info json:[]
  info --object secret,id=1s,data=x data.qcow2; info --object secret,id=s data.qcow2; info --object secret,id=s,data=a --object secret,id=s,data=b data.qcow2; info --object '' data.qcow2
  info --object '{"qom-type":"secret","id":"s","data":"abc"}' data.qcow2; info --object '{"qom-type":"foo"}' data.qcow2; info --object secret,id=s,data=x,format=foo data.qcow2
  info --image-opts driver=raw,file.filename=data.raw,size=1000; info --image-opts driver=raw,file.filename=data.raw,offset=1000; info --image-opts driver=raw,file.filename=data.raw,offset=3M
  info --image-opts driver=qcow2,file.filename=data.qcow2,cache-clean-interval=10; info null-co://x; info null-co:; -T; --trace; -- info data.qcow2; bitmap
  info a:b; info 1:b; info 'a b:c'; info ./a:b; info :b
`;

describeCommands('spindle-img beside qemu-img: info', TABLE);

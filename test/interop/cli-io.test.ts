import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ioTools, plainIo, spindleIo } from '../support/cli-io.ts';
import { createNodeGraph } from '../../src/node/index.ts';
import { makeCliFixture } from '../support/cli-fixture.ts';
import { makeLuksImage } from '../support/cli-fixture-formats.ts';
import { compareTools, tableLines } from '../support/cli-table.ts';
import { describeWithQemu, qemuImg, runTool, TemporaryFolder } from '../support/qemu.ts';

const TABLE = `
  # Reading and verifying
  -f qcow2 data.qcow2 -c 'read 0 64k' -c 'read -v 0 100' -c 'read -q 0 512' -c 'read -C 0 512' -c 'r 1k 1'
  -f qcow2 data.qcow2 -c 'read -P 0 0 64k' -c 'read -P 0 -s 10 -l 20 0 512' -c 'read -P 0xff 1M 512' -c 'read -p 0 1'
  -f qcow2 data.qcow2 -c 'read -P 0 -l 1k 0 512' -c 'read -s 1 0 512' -c 'read -l 1 0 512' -c 'read -P 300 0 1'
  -f qcow2 data.qcow2 -c 'read -P x 0 1' -c 'read -P 010 0 1' -c 'read -s x 0 1' -c 'read -l x 0 1'
  -f qcow2 data.qcow2 -c 'read x 1' -c 'read 0 x' -c 'read 0 3G' -c 'read 9E 1' -c 'read 0x200 1' -c 'read 1.5k 1'
  -f qcow2 data.qcow2 -c 'read' -c 'read 0' -c 'read 0 1 2' -c 'read -Z 0 1' -c 'read -1 1' -c 'read 0 1 -q'
  -f qcow2 data.qcow2 -c 'read 900M 1' -c 'read -b 0 512' -c 'read -b 1 511'
  -f qcow2 data.qcow2 -c 'readv 0 512 512' -c 'readv -v 3 7 9' -c 'readv -P 9 0 512' -c 'readv -q 0 1'
  -f qcow2 data.qcow2 -c 'readv 0 x' -c 'readv 0 3G' -c 'readv 0' -c 'readv 0 0' -c 'readv 900M 1'
  -r -f raw data.raw -c 'read -v 0 64' -c 'map' -c 'length'
  # Writing
  -f qcow2 data.qcow2 -c 'write 0 64k' -c 'read -P 0xcd 0 64k' -c 'write -P 7 1000 3000' -c 'read -P 7 1000 3000' => data.qcow2
  -f qcow2 data.qcow2 -c 'write -z 0 64k' -c 'write -zu 64k 128k' -c 'map' -c 'read -P 0 0 192k' => data.qcow2
  -f qcow2 data.qcow2 -c 'write -u 0 1' -c 'write -n 0 1' -c 'write -bz 0 1' -c 'write -z -P 1 0 1' -c 'write -bf 0 1' -c 'write -cf 0 64k'
  -f qcow2 data.qcow2 -c 'write 0 3G' -c 'write x 1' -c 'write 0 x' -c 'write -P 256 0 1' -c 'write 900M 1'
  -f qcow2 data.qcow2 -c 'write -s text.txt 100 1000' -c 'read -v 100 40' -c 'write -s nofile 0 1' -c 'write -s nothing 0 1' => data.qcow2
  -f qcow2 data.qcow2 -c 'write -f 0 512' -c 'write -zf 0 512' -c 'write -C 0 512' -c 'write -q 0 512' -c 'w -p 0 1' => data.qcow2
  -f qcow2 empty.qcow2 -c 'write -zn 0 64k' -c 'map' => empty.qcow2
  -f qcow2 data.qcow2 -c 'writev 0 512 1k' -c 'writev -P 5 1k 3 4 5' -c 'writev -q 9k 1' -c 'writev 0' -c 'writev 0 x' => data.qcow2
  -f qcow2 top.qcow2 -c 'write 100 100' -c 'read 0 64k' -c 'map' -c 'alloc 0 64k' => top.qcow2
  -f raw data.raw -c 'write 0 1k' -c 'discard 0 64k' -c 'read -P 0 0 64k' => data.raw
  -f raw data.raw -c 'write -c 0 512' -c 'write -b 0 512' -c 'read -b 0 512'
  -r -f qcow2 data.qcow2 -c 'write 0 1' -c 'discard 0 1' -c 'truncate 1M' -c 'flush' -c 'writev 0 1' -c 'aio_write 0 1'
  # Requests beside the commands
  -f qcow2 data.qcow2 -c 'aio_write -P 3 0 512' -c 'length' -c 'aio_flush' -c 'aio_read 512 512' -c 'aio_flush' => data.qcow2
  -f qcow2 data.qcow2 -c 'aio_read -P 9 0 512' -c 'aio_flush' -c 'aio_read -v 0 20' -c 'aio_flush' -c 'aio_read -C 0 1' -c 'aio_flush' -c 'aio_read -q 0 1'
  -f qcow2 data.qcow2 -c 'aio_write -z 0 64k' -c 'aio_flush' -c 'aio_write -z 0 1 1' -c 'aio_write -u 0 1' => data.qcow2
  -f qcow2 data.qcow2 -c 'aio_read -i 0 512' -c 'aio_write -i 0 512' -c 'aio_read 900M 1' -c 'aio_flush' -c 'aio_write 900M 1' -c 'close'
  -f qcow2 data.qcow2 -c 'aio_read 0 64k' -c 'write 1M 64k' -c 'aio_read 0 64k' -c 'length' -c 'aio_flush' -c 'aio_read 0 512' -c 'truncate 4M' -c length => data.qcow2
  -f qcow2 data.qcow2 -c 'aio_read 0 64k' -c 'sleep 50' -c length -c 'sleep 0x1' -c 'sleep 1.5' -c 'write 1.5 1' -c 'write 1.5k 1' -c 'read -a 0 1'
  # What the image is
  -f qcow2 data.qcow2 -c 'info' -c 'length' -c 'map' -c 'alloc 0' -c 'alloc 0 1M' -c 'alloc 1 1M' -c 'alloc 1000G'
  -f qcow2 old.qcow2 -c 'info' -c 'i' -c 'l'; -c info -c length null-co://; -f raw data.raw -c info
  -f raw data.raw -c 'info' -c 'alloc 0' -c 'alloc x' -c 'alloc 0 x'
  -f qcow2 data.qcow2 -c 'map 1' -c 'length 1' -c 'flush 1' -c 'alloc' -c 'alloc 1 2 3'
  -f qcow2 empty.qcow2 -c 'truncate 8M' -c 'length' -c 'truncate 1M' -c 'length' -c 'truncate 1000' -c 'truncate x' -c 'truncate' => empty.qcow2
  -f raw data.raw -c 'truncate -m metadata 4M' -c 'truncate -m falloc 5M' -c length -c 'truncate -m full 4M' -c 'truncate -m off 6M' -c 'truncate -m falloc 3M' -c length => data.raw
  -f qcow2 empty.qcow2 -c 'truncate -m metadata 4M' -c 'map' -c 'truncate -m falloc 5M' -c 'map' -c 'truncate -m full 4M' -c 'truncate -m falloc 3M' -c 'truncate -m off 6M' -c length -c map -c 'truncate -m full 8M' -c map => empty.qcow2
  -f qcow2 top.qcow2 -c 'truncate -m falloc 4M' -c map -c 'truncate -m metadata 5M' -c map => top.qcow2
  -f vpc x.vpc -c 'truncate 3M' -c 'truncate -m full 4M'
  -f vdi x.vdi -c 'truncate 3M' -c 'truncate -m metadata 4M' -c 'truncate -m full 5M' -c length
  -f qed x.qed -c 'truncate 3M' -c 'truncate -m metadata 4M' -c 'truncate -m full 5M' -c length
  -f vmdk x.vmdk -c 'truncate 3M' -c 'truncate -m full 4M' -c length
  -f qcow2 empty.qcow2 -c 'truncate -m foo 1' -c 'truncate -m metadata 16M' -c 'length' -c 'truncate -x 1' => empty.qcow2
  -f raw data.raw -c 'truncate 8M' -c 'length' -c 'truncate -m full 9M' -c 'length' -c 'map' => data.raw
  -f qcow2 data.qcow2 -c 'discard 0 1M' -c 'discard -q 0 1' -c 'discard -C 0 1' -c 'discard 0 x' -c 'discard 900M 1' -c 'discard 0' -c 'map' => data.qcow2
  # Opening, closing
  -f qcow2 data.qcow2 -c 'close' -c 'read 0 1' -c 'close' -c 'open data.raw' -c 'info' -c 'open x'
  -c 'length' -c 'open' -c 'open -o driver=qcow2 data.qcow2' -c 'length' -c 'close' -c 'open -r -o driver=raw data.raw' -c 'write 0 1' -c 'length'
  -c 'open nofile' -c 'open -o driver=foo data.qcow2' -c 'open -o driver=qcow2 data.raw' -c 'open -x'
  -c 'open -o driver=null-co,size=1M' -c 'length' -c 'read -q 0 512'
  -f qcow2 data.qcow2 -c 'reopen -r' -c 'write 0 1' -c 'reopen -w' -c 'write 0 512' -c 'reopen -r -w' -c 'reopen -x' -c 'reopen x' => data.qcow2
  -f qcow2 data.qcow2 -c 'reopen -c none' -c 'reopen -c foo' -c 'reopen -o foo=on' -c 'reopen' -c 'length'
  -f qcow2 data.qcow2 -c 'write -q 0 512' -c 'quit' -c 'length'
  -f qcow2 data.qcow2 -c 'foo' -c '' -c ' length ' -c 'length;length' -c 'sleep' -c 'sleep x' -c 'sleep 1'
  nofile
  -f foo data.qcow2
  -f qcow2 data.raw
  -f qcow2 orphan.qcow2 -c length
  a b
  -Z
  -f
  --foo
  --cmd
  -h
  -t foo data.qcow2
  -d foo data.qcow2
  -i foo data.qcow2
  -t none -d ignore -i threads -k -m -f qcow2 data.qcow2 -c 'read -q 0 512'
  -k -f qcow2 data.qcow2 -c length; -i native -f qcow2 data.qcow2 -c length; -i native -n -f qcow2 data.qcow2 -c length
  -C -s -f qcow2 top.qcow2 -c 'read 0 2M' -c map; -s data.raw -c 'write -P 9 0 64k' -c info -c length; -s -f raw data.raw -c length => top.qcow2 data.raw
  --image-opts filename=data.raw -c length; --image-opts driver=qcow2,file.filename=data.qcow2,read-only=on -c 'write 0 512'; -U --image-opts -r driver=qcow2,file.filename=data.qcow2,force-share=off
  -U -f qcow2 data.qcow2 -c length
  -r -U -f qcow2 data.qcow2 -c length
  -C -f qcow2 top.qcow2 -c 'read 0 64k' -c 'map' => top.qcow2
  -r -C -f qcow2 data.qcow2 -c length
  -s -f qcow2 data.qcow2 -c 'write -P 9 0 512' -c 'read -P 9 0 512' => data.qcow2
  --image-opts driver=qcow2,file.filename=data.qcow2 -c length
  --image-opts -f raw driver=qcow2,file.filename=data.qcow2
  --image-opts driver=raw,offset=512,size=1024,file.filename=data.raw -c length -c 'read -v 0 16'
  --object foo,id=x data.qcow2
  --object secret,id=s,data=x -f qcow2 data.qcow2 -c length
  --object throttle-group,id=tg,x-iops-total=5,x-iops-read=1
  --object throttle-group,id=tg,x-iops-total=100 --image-opts driver=throttle,throttle-group=tg,file.driver=qcow2,file.file.filename=data.qcow2 -c 'read -q 0 512' -c length
  --image-opts driver=throttle,throttle-group=no,file.driver=raw,file.file.filename=data.raw
  data.raw -c 'read -q 0 512'
  json:{"driver":"qcow2","file":{"driver":"blkdebug","image":{"driver":"file","filename":"data.qcow2"}}} -c 'read -q 0 512'
  # Formats that were guessed
  data.raw -c 'write -s empty.qcow2 0 512' -c 'write -s empty.qcow2 0 4k' -c 'write -s empty.qcow2 0 64k' -c 'read -P 1 0 64k' => data.raw
  data.raw -c 'write -P 9 0 512' -c 'write 256 4k' -c 'write -z 0 64k' -c 'discard 0 64k' -c 'write -s empty.qcow2 512 512' => data.raw
  data.raw -c 'write -s empty.qcow2 100 600' -c 'truncate 4M' -c 'write -s old.qcow2 0 512' -c 'length' => data.raw
  data.raw -c 'write -s x.qed 0 512' -c 'write -s x.vdi 0 512' -c 'write -s x.vmdk 0 512' -c 'write -s x.vpc 0 512' -c 'write -s x.luks 0 4k' => data.raw
  -f raw data.raw -c 'write -s empty.qcow2 0 512' -c 'read -v 0 512'
  --image-opts file.filename=data.raw -c 'write -s empty.qcow2 0 512' => data.raw
  json:{"file":{"driver":"file","filename":"data.raw"}} -c 'write -s empty.qcow2 0 512' => data.raw
  -C data.raw -c 'write -s empty.qcow2 0 512' => data.raw
  onguess.qcow2 -c 'write -s empty.qcow2 0 512' => onguess.qcow2
  # Reopening
  -f qcow2 data.qcow2 -c 'reopen -r -o read-only=on' -c 'reopen -w -o read-only=off' -c 'reopen -o read-only=on' -c 'write 0 512' -c 'reopen -o read-only=off' -c 'write 0 512' => data.qcow2
  -f qcow2 data.qcow2 -c 'reopen -o read-only=foo' -c 'reopen -o driver=raw' -c 'reopen -o node-name=x' -c 'reopen -o driver=qcow2' -c length
  -f qcow2 data.qcow2 -c 'reopen -o lazy-refcounts=on' -c 'write 0 512' -c 'reopen -o overlap-check=none' -c 'write 512 512' => data.qcow2
  -f qcow2 data.qcow2 -c 'reopen -o discard=ignore' -c 'discard 0 64k' -c 'map' -c 'reopen -o discard=unmap' -c 'discard 0 64k' -c 'map' -c 'reopen -o discard=foo' => data.qcow2
  -f qcow2 data.qcow2 -c 'reopen -o detect-zeroes=on' -c 'write -P 0 512k 64k' -c 'reopen -o discard=ignore' -c 'reopen -o detect-zeroes=unmap' -c 'length' => data.qcow2
  -f qcow2 data.qcow2 -c 'reopen -o cache.no-flush=on' -c 'reopen -o cache.direct=off' -c 'reopen -o cache.writeback=off' -c 'reopen -c none -o cache.direct=on' -c 'reopen -c writeback' -c 'reopen -c unsafe' -c 'write 0 512' => data.qcow2
  -r -f qcow2 data.qcow2 -c 'reopen -w' -c 'write 0 1k' -c 'reopen -r' -c 'write 0 1k' => data.qcow2
  ~ -r -f raw data.raw -c 'reopen -o size=1M' -c length -c 'reopen -o offset=512' -c length -c 'reopen -o size=1G' -c length
  # Filters
  -f qcow2 blkdebug::data.qcow2 -c 'break foo A' -c 'break write_aio A' -c 'aio_write 0 512' -c 'wait_break A' -c 'resume A' -c 'aio_flush' -c 'resume A' => data.qcow2
  -f qcow2 blkdebug::data.qcow2 -c 'break write_aio B' -c 'remove_break B' -c 'remove_break B' -c 'write -q 0 512' => data.qcow2
  -f qcow2 data.qcow2 -c 'break write_aio A' -c 'resume A' -c 'remove_break A' -c 'wait_break' -c 'break x'
  -f qcow2 blkdebug:nofile.conf:data.qcow2
  -f qcow2 blkdebug:rules.conf:data.qcow2 -c 'write 0 512' -c 'write 0 512' -c 'read -q 0 512' => data.qcow2
  -f qcow2 blkdebug:text.txt:data.qcow2
  blkdebug:nothing
  blkverify:nothing
  blkverify:empty.raw:empty.qcow2 -c 'write -P 5 1000 5000' -c 'read -P 5 1000 5000'
  -f raw blkverify:data.raw:empty.qcow2 -c 'read 1M 512' -c length
  --image-opts driver=qcow2,file.driver=blkdebug,file.image.filename=data.qcow2,file.inject-error.0.event=foo
  --image-opts driver=qcow2,file.driver=blkdebug,file.image.filename=data.qcow2,file.inject-error.0.event=none,file.inject-error.0.iotype=xx
  --image-opts driver=qcow2,file.driver=blkdebug,file.image.filename=data.qcow2,file.inject-error.0.event=none,file.inject-error.0.foo=xx
  --image-opts driver=qcow2,file.driver=blkdebug,file.image.filename=data.qcow2,file.align=3
  --image-opts driver=qcow2,file.driver=blkdebug,file.image.filename=data.qcow2,file.align=1024,file.max-transfer=1000
  --image-opts driver=qcow2,file.driver=blkdebug,file.image.filename=data.qcow2,file.align=4096,file.max-transfer=65536 -c 'write -P 3 1000 200k' -c 'read -P 3 1000 200k' => data.qcow2
  --image-opts driver=raw,file.driver=blkdebug,file.image.filename=data.raw,file.align=4096 -c 'write -P 3 1000 5000' => data.raw
  --image-opts driver=copy-on-read,file.driver=qcow2,file.file.filename=top.qcow2 -c 'read 0 1k' -c 'map' => top.qcow2
  --image-opts driver=qcow2,file.driver=preallocate,file.prealloc-size=1M,file.file.filename=data.qcow2 -c 'write 0 1M' => data.qcow2
  -t writeback --image-opts driver=qcow2,file.driver=blkdebug,file.image.filename=data.qcow2,file.inject-error.0.event=flush_to_disk,file.inject-error.0.once=on -c 'write 0 512' -c 'flush' -c 'length' -c 'flush' -c 'write -f 0 512' => data.qcow2
  # Debugging the program
  -c 'help foo' -c 'help a b' -c 'sigraise' -c 'sigraise x' -c 'abort x' -c 'sigraise 99' -c 'sigraise 0' -c 'sigraise 65' -c 'help foo'
  -c 'help foo'
  -c 'q 1' -c foo
  -s -f qcow2 top.qcow2 -c 'write -P 9 0 64k' -c 'read -P 9 0 64k' -c 'read -P 3 192k 64k' => top.qcow2
  -r -s -f qcow2 top.qcow2 -c 'write 0 512' -c 'read -q 0 512'
  -f qcow2 data.qcow2 -c 'sleep -1' -c 'alloc -1' -c 'discard 0 3G' -c 'write -P x' -c 'read -P x 0' -c 'read -s x'
  -f qed x.qed -c 'truncate 1000' -c 'truncate +2M' -c 'truncate 2.M' -c length
  --image-opts driver=qcow2,file.filename=data.qcow2 -c 'open -o driver=raw data.raw' -c 'open -d foo -o driver=raw data.raw'
`;

describeWithQemu('spindle-io beside qemu-io', () => {
  const fixture = new TemporaryFolder();
  const work = new TemporaryFolder();
  beforeAll(async () => {
    await makeCliFixture(fixture.path);
    for (const format of ['qed', 'vdi', 'vmdk', 'vpc']) {
      await qemuImg('create', '-q', '-f', format, fixture.file(`x.${format}`), '1M');
    }
    await makeLuksImage(fixture.file('x.luks'));
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'compat=0.10', fixture.file('onguess.qcow2'), '2M');
    await qemuImg('rebase', '-u', '-b', 'data.raw', '-F', 'raw', fixture.file('onguess.qcow2'));
    writeFileSync(fixture.file('rules.conf'), '[inject-error]\nevent = "write_aio"\nerrno = "28"\nonce = "on"\n');
  });
  afterAll(() => {
    fixture[Symbol.dispose]();
    work[Symbol.dispose]();
  });

  test.each(tableLines(TABLE))('%s', async (_, line) => {
    await compareTools(fixture.path, work.path, line, ioTools);
  });

  const workload = [
    ...['read -q 0 512', 'read 64k 512', 'write -q 0 512', 'write 128k 512', 'write 200k 64k', 'write -z 1M 64k'],
    ...['discard 1M 64k', 'flush', 'write 300k 512', 'flush', 'write -q 0 512', 'length'],
  ].flatMap((command) => ['-c', command]);
  const injecting = (event: string, more: string) =>
    `driver=qcow2,file.driver=blkdebug,file.image.filename=top.qcow2,file.inject-error.0.event=${event}${more}`;

  test.each([
    ...['l1_update', 'l2_load', 'l2_update', 'read_aio', 'read_backing_aio', 'write_aio', 'cow_read', 'cow_write'],
    ...['refblock_load', 'refblock_update_part', 'cluster_alloc', 'flush_to_os'],
    ...['pwritev', 'pwritev_done'],
  ])('blkdebug: an error at %s comes to the same commands', async (event) => {
    const once = ',file.inject-error.0.errno=28,file.inject-error.0.once=on';
    const commands = [['--image-opts', injecting(event, once), ...workload]];
    await compareTools(
      fixture.path,
      work.path,
      { text: event, commands, images: ['top.qcow2'], ownWords: false },
      ioTools,
    );
  });

  test.each([
    ...['sector=0', 'iotype=write', 'iotype=flush', 'iotype=read', 'immediately=on'],
    ...['state=2,file.set-state.0.event=cow_write,file.set-state.0.new_state=2'],
  ])('blkdebug: a rule that stays, with %s', async (option) => {
    const rule = injecting('write_aio', `,file.inject-error.0.errno=5,file.inject-error.0.${option}`);
    const commands = [['--image-opts', rule, ...workload]];
    await compareTools(fixture.path, work.path, { text: option, commands, images: [], ownWords: true }, ioTools);
  });

  test('typed commands: a prompt before each, signals and crashes end the process', async () => {
    const program = fileURLToPath(new URL('../../src/cli/spindle-io.ts', import.meta.url));
    const image = fixture.file('data.qcow2');
    const run = (tool: string, args: readonly string[], input: string) => {
      const { status, signal, stdout, stderr } = spawnSync(tool, args, { input, encoding: 'utf8' });
      return { status, signal, stdout: plainIo(stdout), stderr: plainIo(stderr) };
    };
    for (const input of ['', '\n', 'read 0 512\nfoo\nquit\nread 0 1\n', 'length', 'sigraise 15\n', 'abort\n']) {
      const wanted = run('qemu-io', ['-r', '-f', 'qcow2', image], input);
      const found = run(process.execPath, [program, '-r', '-f', 'qcow2', image], input);
      // Which of what it printed gets out of a process that dies is chance.
      if (wanted.signal !== null) expect(found.signal, input).toBe(wanted.signal);
      else expect(found, input).toEqual(wanted);
    }
  });

  test('an image that is in use elsewhere is refused in the same words', async () => {
    const image = fixture.file('data.qcow2');
    const graph = createNodeGraph();
    const disk = await graph.open({ driver: 'qcow2', file: { driver: 'file', filename: image } });
    for (const args of [['-f', 'qcow2', image], ['-r', image], [image], ['-r', '-U', image]]) {
      const line = { text: '', commands: [[...args, '-c', 'length']], images: [], ownWords: false };
      await compareTools(fixture.path, work.path, line, ioTools);
    }
    await graph.close(disk);
  });

  test('every command is listed, with the same arguments', async () => {
    const usages = (text: string) => text.split('\n').filter((line) => line.includes(' -- '));
    const theirs = usages(plainIo((await runTool('qemu-io', ['-c', 'help'])).stdout));
    const ours = usages(plainIo((await spindleIo(['-c', 'help'])).stdout));
    const withoutSummary = (line: string): string => line.replace(/ +-- .*$/, '');
    expect(ours.map(withoutSummary)).toEqual(theirs.map(withoutSummary));
  });
});

import { describeCommands } from '../support/cli-commands.ts';
import { makeFormatsFixture } from '../support/cli-fixture-formats.ts';

/** Every command that looks at an image or changes it, on an image of every format. */
const IMAGES = {
  ...{ 'x.vdi': 'vdi', 'static.vdi': 'vdi', 'x.qed': 'qed', 'on.qed': 'qed', 'x.vmdk': 'vmdk', 'x.vpc': 'vpc' },
  ...{ 'fixed.vpc': 'vpc', 'x.vhdx': 'vhdx', 'x.qcow': 'qcow', 'on.qcow': 'qcow', 'x.hds': 'parallels' },
  ...{ 'sub.qcow2': 'qcow2', 'zstd.qcow2': 'qcow2', 'snap.qcow2': 'qcow2', 'bits.qcow2': 'qcow2' },
};
/** Of these `map` says more than qemu-img's does. */
const HAS_OWN_MAP = new Set(['x.vhdx']);
const EVERY_IMAGE = Object.entries(IMAGES)
  .map(
    ([name, format]) => `
  info -f ${format} ${name}; info -f ${format} --output=json ${name}; measure -O qcow2 -f ${format} ${name}; measure -O ${format} -f ${format} ${name}
  check -f ${format} ${name}; check -f ${format} --output=json ${name}
  compare -F ${format} data.raw ${name}; snapshot -l ${name}
  resize -f ${format} ${name} 4M; info -f ${format} ${name} => ${name}
  resize --shrink -f ${format} ${name} 1M; info -f ${format} ${name} => ${name}
${HAS_OWN_MAP.has(name) ? '' : `  map -f ${format} ${name}; map -f ${format} --output=json ${name}`}
  resize -f ${format} --preallocation=metadata ${name} +1M => ${name}
  resize -f ${format} --preallocation=full ${name} +1M => ${name}
  convert -f ${format} -O raw ${name} x.raw; convert -n -O ${format} data.raw ${name} => x.raw ${name}
  amend -f ${format} -o size=4M ${name}; snapshot -a one --image-opts driver=${format},file.filename=${name}; bitmap -f ${format} --add ${name} new => ${name}
  snapshot -c new --image-opts driver=${format},file.filename=${name} => ${name}
`,
  )
  .join('');

const FORMATS = ['raw', 'qcow2', 'vdi', 'qed', 'vmdk', 'vpc', 'vhdx', 'qcow', 'parallels'];
const EVERY_HELP = FORMATS.map(
  (format) => `
  create -f ${format} -o help; convert -O ${format} -o help; create -f ${format} -o size=1M,help; measure -O ${format} -o help --size 1M
  create -f ${format} -o help x; convert -O ${format} -o help data.raw x; create -f ${format} -o ?
${format === 'qcow2' ? '' : `  amend -f ${format} -o help`}
`,
).join('');

const TABLE = `${EVERY_IMAGE}${EVERY_HELP}
  create -f vdi x.vdi 1M; info x.vdi; check x.vdi => x.vdi
  create -f vdi -o static=on x.vdi 1M => x.vdi
  create -q -f vdi x.vdi 5M; map --output=json x.vdi; check --output=json x.vdi; map x.vdi
  create -q -f vpc -o force_size=on x.vpc 5M; map --output=json x.vpc; map x.vpc
  convert -f qcow2 -O vpc -o force_size=on top.qcow2 x.vpc; map --output=json -f vpc x.vpc => x.vpc
  create -f qed x.qed 1M; info x.qed; check x.qed => x.qed
  create -f qed -b base.qcow2 -F qcow2 x.qed; info x.qed => x.qed
  convert -O vdi data.raw x.vdi; info --output=json x.vdi; map --output=json x.vdi => x.vdi
  convert -O qed data.qcow2 x.qed; info --output=json x.qed => x.qed
  convert -O vdi top.qcow2 x.vdi; convert -f vdi -O qcow2 x.vdi x.qcow2 => x.qcow2
  create -f qcow2 -o data_file=x.raw,data_file_raw=on x.qcow2 1M; info x.qcow2
  create -f qcow2 -o extended_l2=on x.qcow2 1M; info x.qcow2 => x.qcow2
  create -f qcow2 -o compression_type=zstd x.qcow2 1M; info x.qcow2 => x.qcow2
  create -f qcow2 --object secret,id=s,data=abc -o encrypt.format=aes,encrypt.key-secret=s x.qcow2 1M; info x.qcow2
  create -f qcow2 -o encrypt.format=luks x.qcow2 1M
  create -f qcow2 -o encrypt.format=luks,encrypt.key-secret=nope x.qcow2 1M
  convert -O raw x.qcow2 y
  info null-co://
  measure -O qcow2 -o extended_l2=on --size 1G
  create -f vpc x.vpc 1M; info x.vpc
  create -f vpc -o subformat=fixed,force_size=on x.vpc 1M; info -f vpc x.vpc
  create -f qcow x.qcow 1M; info x.qcow; info --output=json x.qcow; check x.qcow => x.qcow
  create -f qcow -b base.qcow2 -F qcow2 x.qcow; info x.qcow => x.qcow
  create -f qcow -o help
  create -f qcow -o encryption=on x.qcow 1M
  create -f qcow --object secret,id=s,data=abc -o encrypt.format=aes,encrypt.key-secret=s x.qcow 1M; info x.qcow
  convert -O qcow data.raw x.qcow; info --output=json x.qcow; convert -f qcow -O qcow2 x.qcow x.qcow2 => x.qcow2
  create -f parallels x.hds 3M; info x.hds; check x.hds => x.hds
  create -f parallels -o cluster_size=64k x.hds 3M; check --output=json x.hds => x.hds
  create -f parallels -o help
  convert -O parallels data.raw x.hds; info x.hds; map --output=json x.hds; check x.hds => x.hds
  measure -O parallels --size 1G
  info --image-opts driver=raw,file.driver=file,file.filename=data.raw,size=512k
  info --image-opts driver=raw,offset=512,file.filename=data.raw
  info --output=json --image-opts driver=raw,offset=512,size=1M,file.filename=data.raw
  info 'json:{"driver":"raw","file":{"driver":"file","filename":"data.raw"},"size":524288}'
  info --output=json 'json:{"driver":"raw","size":"512k","offset":1024,"file.filename":"data.raw"}'
  info 'json:{"driver":"qcow2","lazy-refcounts":true,"file":{"driver":"file","filename":"data.qcow2"}}'
  info --image-opts driver=null-co,size=1M
  create -f vpc -o help
  convert -O qcow data.raw x.qcow; map --output=json x.qcow => x.qcow
  convert -O vpc data.raw x.vpc; info --output=json x.vpc; check x.vpc => x.vpc
  create -f qed -o cluster_size=4k,table_size=2 x.qed 8M; check --output=json x.qed; info --output=json x.qed => x.qed
  measure -O vpc --size 1G
  measure -O qcow --size 1G
  measure -O vdi --size 1G
  measure -O qed --size 1G
  # Places that are reserved for zeroes, and those of subclusters that nobody has written.
  map --output=json reserved.qcow2; map reserved.qcow2; map --output=json parts.qcow2; map parts.qcow2; map --output=json onparts.qcow2
  compare -s reserved.qcow2 reserved.qcow2; convert -O qcow2 -o extended_l2=on parts.qcow2 x.qcow2; map --output=json x.qcow2; measure -O qcow2 onparts.qcow2
  # A format that was guessed to be raw does not become another one.
  commit onguess.qcow2 => data.raw onguess.qcow2
  commit trap.qcow2 => data.raw
  commit -b data.raw trap.qcow2 => data.raw
  convert -n -f raw -O raw empty.qcow2 empty.raw
  convert -n -f raw --target-image-opts empty.qcow2 file.filename=empty.raw => empty.raw
  convert -n -f raw --target-image-opts empty.qcow2 driver=raw,file.filename=empty.raw
  convert -n --target-image-opts empty.qcow2 file.filename=empty.raw => empty.raw
  # What needs a passphrase, without one.
  info x.luks; info --output=json x.luks; snapshot -l x.luks
  check x.luks; check -f luks --output=json x.luks; map x.luks; convert x.luks x; measure -O qcow2 x.luks
  resize -f luks x.luks +1M; amend -f luks -o size=4M x.luks; compare x.luks data.raw; bench -c 1 x.luks
`;

describeCommands('spindle-img beside qemu-img: formats and features', TABLE, makeFormatsFixture);

import { describeCommands } from '../support/cli-commands.ts';

const TABLE = `
  measure -O luks --object secret,id=s,data=abc -o key-secret=s --size 1G
  create -q -f qcow2 --object secret,id=s,data=abc -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 x.qcow2 1M; convert --object secret,id=s,data=abc -n -O raw --image-opts driver=qcow2,encrypt.key-secret=s,file.filename=x.qcow2 empty.raw => empty.raw
  convert -O qcow2 --object secret,id=s,data=abc -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 data.raw x.qcow2; convert --object secret,id=s,data=abc -O raw --image-opts driver=qcow2,encrypt.key-secret=s,file.filename=x.qcow2 x.raw => x.raw
  convert -O luks --object secret,id=s,data=abc -o key-secret=s,iter-time=10 data.raw x.luks; convert --object secret,id=s,data=abc -O raw --image-opts driver=luks,key-secret=s,file.filename=x.luks x.raw => x.raw
`;

describeCommands('spindle-img beside qemu-img: LUKS, in qcow2 and alone', TABLE);

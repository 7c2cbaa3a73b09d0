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
`;

describeCommands('spindle-img beside qemu-img: info', TABLE);

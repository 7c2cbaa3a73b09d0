import { describeCommands } from '../support/cli-commands.ts';
import { makeVmdkFixture, SUBFORMATS } from '../support/vmdk-fixture.ts';

const TABLE = `
${SUBFORMATS.map(
  (name) => `
  info ${name}.vmdk
  info --output=json ${name}.vmdk
  map --output=json ${name}.vmdk
  check --output=json ${name}.vmdk
  convert -f vmdk -O raw ${name}.vmdk x.raw => x.raw
  create -f vmdk -o subformat=${name} x.vmdk 3M => x.vmdk
  convert -O vmdk -o subformat=${name} data.raw x.vmdk => x.vmdk
`,
).join('\n')}
  info --output=json large.vmdk
  info large.vmdk
  convert -O qcow2 large.vmdk x.qcow2 => x.qcow2
  info --output=json ./odd.vmdk
  convert -O raw odd.vmdk x.raw => x.raw
  convert -O vmdk -o subformat=streamOptimized odd.vmdk x.vmdk => x.vmdk
  check monolithicSparse.vmdk
  info --output=json footer.vmdk
  map --output=json footer.vmdk
  convert -O raw footer.vmdk x.raw => x.raw
  map --output=json zeroed.vmdk
  info --output=json zeroed.vmdk
  info top.vmdk
  info --output=json top.vmdk
  info --backing-chain --output=json top.vmdk
  map --output=json top.vmdk
  convert -O raw top.vmdk x.raw => x.raw
  convert -O vmdk top.vmdk x.vmdk => x.vmdk
  info --output=json cowd.vmdk
  map --output=json cowd.vmdk
  convert -O raw cowd.vmdk x.raw => x.raw
  info --output=json se.vmdk
  map --output=json se.vmdk
  check se.vmdk
  convert -O raw se.vmdk x.raw => x.raw
  info --output=json esx.vmdk
  convert -O raw esx.vmdk x.raw => x.raw
  ~ info large-s001.vmdk
  create -f vmdk x.vmdk 1000 => x.vmdk
  create -f vmdk -o adapter_type=lsilogic,toolsversion=10,hwversion=7 x.vmdk 10M => x.vmdk
  create -f vmdk -o adapter_type=foo x.vmdk 10M
  create -f vmdk -o compat6=on x.vmdk 10M => x.vmdk
  create -f vmdk -o compat6=on,hwversion=7 x.vmdk 10M
  create -f vmdk -o zeroed_grain=on x.vmdk 10M; map --output=json x.vmdk => x.vmdk
  create -f vmdk -o subformat=foo x.vmdk 10M
  create -f vmdk -o subformat=monolithicFlat,zeroed_grain=on x.vmdk 10M
  create -f vmdk -b base.vmdk -F vmdk x.vmdk => x.vmdk
  create -f vmdk -b data.raw -F raw x.vmdk
  create -f vmdk -b base.vmdk -F vmdk -o subformat=monolithicFlat x.vmdk
  create -f vmdk -o help
  measure -O vmdk data.raw
  convert -c -O vmdk data.raw x.vmdk => x.vmdk
  convert -c -O vmdk -o subformat=streamOptimized data.raw x.vmdk => x.vmdk
  ~ resize top.vmdk 2M
  snapshot -l base.vmdk
  compare base.vmdk top.vmdk
  commit top.vmdk => base.vmdk
  ~ convert -O raw stale.vmdk x.raw
  info --output=json stale.vmdk
  check stale.vmdk
  ~ check -r all base.vmdk
`;

describeCommands('spindle-img beside qemu-img: VMDK', TABLE, makeVmdkFixture);

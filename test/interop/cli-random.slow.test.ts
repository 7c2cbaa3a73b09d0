import { describeRandomLines } from '../support/cli-random-suite.ts';

describeRandomLines('many random command lines through both tools', 7, { img: 300, io: 250 });

import { describeRandomLines } from '../support/cli-random-suite.ts';

describeRandomLines('random command lines through both tools', 1, { img: 40, io: 40 });

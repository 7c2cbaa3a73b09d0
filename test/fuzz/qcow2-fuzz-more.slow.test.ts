import { describeQcow2Fuzz } from './qcow2-cases.ts';

describeQcow2Fuzz(1);

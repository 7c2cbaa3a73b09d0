import { describeFuzzedFormats } from './format-cases.ts';

describeFuzzedFormats(1);

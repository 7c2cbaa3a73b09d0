import { describeFuzzedFormats } from './format-cases.ts';

describeFuzzedFormats(0);

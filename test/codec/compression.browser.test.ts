import { portableCompression } from '../../src/codec/index.ts';
import { compressionSuite } from './compression-suite.ts';

compressionSuite('in a browser', portableCompression);

/** The one object store of a database. Its keys are arrays: `disk` and a name, `chunk`, a name and a number, `session` and an id. */
export const STORE_NAME = 'disks';

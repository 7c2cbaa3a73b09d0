/** A disk holds what its model does not allow. */
export class ModelMismatch extends Error {
  override readonly name = 'ModelMismatch';
}

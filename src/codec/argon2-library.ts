/** The part of the library that is used: a bundler that loads it later than the rest takes no more than what is named here. */
export { argon2i, argon2id } from 'hash-wasm';

// The module's exports.

export { fail, run, work } from "./run";

/**
 * What the two halves of the wasm engine agree on: the numbers of its kernels, the
 * layout of a step's record, and the words of the control block. Both TypeScript and
 * AssemblyScript read this file, so it holds plain integers only.
 *
 * A record is RECORD_BYTES long: kernel, units, grain, units taken, units done, then
 * the arguments, all 32-bit words. Arguments come in the order outputs, inputs, dims.
 */

/** Bytes of a step's record. */
export const RECORD_BYTES = 128;
/** Where in a record its kernel's number stands. */
export const RECORD_KERNEL = 0;
/** Indivisible parts of a step's work. */
export const RECORD_UNITS = 4;
/** Units that a thread takes at a time. */
export const RECORD_GRAIN = 8;
/** Units taken so far; only ever added to within a run. */
export const RECORD_TAKEN = 12;
/** Units finished so far. */
export const RECORD_DONE = 16;
/** Where the arguments begin. */
export const RECORD_ARGUMENTS = 20;

/** 64 bytes of zeros that nobody writes: the address of a bias or addend that is not there. */
export const NOTHING = 0;
/** Counts the jobs; workers sleep on it. Like all that follows, a byte address. */
export const CONTROL_JOB = 64;
/** First record of the present job. */
export const CONTROL_FROM = 128;
/** End of the records of the present job. */
export const CONTROL_TO = 132;
/** Where the threads' own scratch memory begins. */
export const CONTROL_SCRATCH = 136;
/** Bytes of scratch memory a thread. */
export const CONTROL_SCRATCH_BYTES = 140;
/** Workers that have yet to leave the present job. */
export const CONTROL_ACTIVE = 192;
/** Workers that have started; each takes its number from it. */
export const CONTROL_STARTED = 196;
/** 1 once a thread has failed: nobody waits any longer. */
export const CONTROL_FAILED = 200;
/** 1 when workers shall end. */
export const CONTROL_CLOSING = 204;
/** 1 where the calling thread may sleep (not a browser's window). */
export const CONTROL_MAY_SLEEP = 208;
/** Where memory to be given away begins; what is below is the engine's own. */
export const HEAP = 65536;

/** Elements of a unit of elementwise kernels. */
export const BLOCK = 4096;
/** Columns of a unit of embeddingBackward. */
export const EMBEDDING_COLUMNS = 64;
/** Elements of a unit of positionBackward. */
export const POSITION_BLOCK = 1024;
/** Rows of a unit where columnSum has many of them. */
export const SUM_ROWS = 64;
/** Columns of a unit of columnSum. */
export const SUM_COLUMNS = 128;

/** Numbers along k that a packed matrix product takes at a time. */
export const DEPTH = 256;

/** Rows that a matrix is packed by, where they are not what a panel is made of. It divides DEPTH. */
export const PACK_DEPTH = 8;

/** Queries that attention takes at a time: tiles of 5. */
export const QUERIES = 20;
/** Queries between which attention's gradient keeps what it computed. */
export const STRETCH = 160;

/** What happens to scores with keys after the query; see the vocabulary. */
export const MASK_CAUSAL = 0;
export const MASK_NONE = 1;
export const MASK_ZEROED = 2;
export const MASK_FINITE = 3;
/** Columns of a unit of normBackwardWeights. */
export const COLUMNS = 16;

// The kinds of activation.
export const GELU_TANH = 0;
export const GELU = 1;
export const RELU = 2;
export const RELU2 = 3;

// Kernels, by the names of the vocabulary or the part of one that they do.
export const EMBEDDING = 1;
export const EMBEDDING_BACKWARD = 2;
export const POSITION_BACKWARD = 3;
export const PACK_PANELS_OF_ROWS = 4;
export const PACK_PANELS_OF_COLUMNS = 5;
export const PACK_TILES = 6;
export const MULTIPLY = 7;
export const MULTIPLY_ROWS = 8;
export const MULTIPLY_COLUMNS = 9;
export const COLUMN_SUM_OF_STRETCHES = 10;
export const COLUMN_SUM = 11;
export const NORM = 12;
export const NORM_BACKWARD = 13;
export const NORM_BACKWARD_WEIGHTS = 14;
export const ACTIVATION = 15;
export const ACTIVATION_BACKWARD = 16;
export const SWIGLU = 17;
export const SWIGLU_BACKWARD = 18;
export const QK_NORM = 19;
export const QK_NORM_BACKWARD = 20;
export const ROPE = 21;
export const ATTENTION = 22;
export const ATTENTION_BACKWARD = 23;
export const CACHE_APPEND = 24;
export const ATTENTION_CACHED = 25;
export const SELECT_LAST = 26;
export const ADD = 27;
export const COPY = 28;
export const DROPOUT = 29;
export const SOFTCAP = 30;
export const SOFTCAP_BACKWARD = 31;
export const CROSS_ENTROPY = 32;
export const LOSS_SUM = 33;
export const SQUARE_SUM = 34;
export const CLIP = 35;
export const ADAMW = 36;
export const MOMENTUM = 37;
export const NORMALIZE = 38;
export const COMBINE = 39;
export const DESCEND = 40;

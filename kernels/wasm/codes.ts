/**
 * The constants that both halves of the wasm engine use: the numbers of its kernels, the
 * layout of a step's record, and the words of the control block. Both TypeScript and
 * AssemblyScript compile this file, so it holds plain integers only.
 *
 * A record is RECORD_BYTES long: kernel, units, grain and the arguments, then units taken and units done, all 32-bit words.
 * Arguments come in the order outputs, inputs, dims.
 */

/** Bytes of a step's record. */
export const RECORD_BYTES = 192;
/** Offset of the kernel's number in a record, in bytes, like the offsets that follow. */
export const RECORD_KERNEL = 0;
/** Offset of the number of units, the indivisible parts of a step's work. */
export const RECORD_UNITS = 4;
/** Offset of the number of units that a thread takes at a time. */
export const RECORD_GRAIN = 8;
/** Offset of the number of units taken so far, which never decreases within a run. No argument is in its cache line. */
export const RECORD_TAKEN = 128;
/** Offset of the number of units finished so far. */
export const RECORD_DONE = 132;
/** Offset of the first argument. */
export const RECORD_ARGUMENTS = 12;

/** Address of 64 bytes that are always 0: stands for a bias or addend that is absent. */
export const NOTHING = 0;
/** The number of jobs so far, on which workers sleep. Each CONTROL_ constant is the byte address of the word that its comment describes. */
export const CONTROL_JOB = 64;
/** The address of the first record of the current job. */
export const CONTROL_FROM = 128;
/** The address of the end of the records of the current job. */
export const CONTROL_TO = 132;
/** The address at which the threads' scratch memory begins. */
export const CONTROL_SCRATCH = 136;
/** Bytes of scratch memory for each thread. */
export const CONTROL_SCRATCH_BYTES = 140;
/** Workers that have not left the current job yet. */
export const CONTROL_ACTIVE = 192;
/** Workers that have started; each worker takes its own number from this count. */
export const CONTROL_STARTED = 196;
/** 1 once a thread has failed; then all threads stop waiting. */
export const CONTROL_FAILED = 200;
/** 1 once workers must end. */
export const CONTROL_CLOSING = 204;
/** 1 if the calling thread may sleep, which the thread of a browser's window may not. */
export const CONTROL_MAY_SLEEP = 208;
/** The number of times that a waiting thread reads a word before it sleeps on the word. */
export const CONTROL_SPINS = 212;
/** The number of threads that sleep until a step is done. */
export const CONTROL_SLEEPERS = 256;
/** Address of the first memory for allocation; the memory below belongs to the engine. */
export const HEAP = 65536;

/** Elements per unit of elementwise kernels. */
export const BLOCK = 4096;
/** Columns per unit of embeddingBackward. */
export const EMBEDDING_COLUMNS = 64;
/** Elements per unit of positionBackward. */
export const POSITION_BLOCK = 1024;
/** Rows per unit where columnSum has many rows. */
export const SUM_ROWS = 64;
/** Columns per unit of columnSum. */
export const SUM_COLUMNS = 128;

/** Numbers along k that a packed matrix product takes at a time. */
export const DEPTH = 256;

/** Rows per unit of a step that packs columns of a matrix into panels or tiles. Divides DEPTH. */
export const PACK_DEPTH = 8;

/** Rows per unit of a step that turns a matrix for a BLAS. */
export const TURN_ROWS = 16;

/** Queries that attention takes at a time, in tiles of 5. */
export const QUERIES = 20;
/** Queries that attention takes at a time where a BLAS multiplies. */
export const BLAS_QUERIES = 32;
/** Queries for which attention's gradient keeps its probabilities and score gradients at a time. */
export const STRETCH = 160;

/** Masks: the treatment of scores with keys after the query; see `AttentionDims.mask`. */
export const MASK_CAUSAL = 0;
export const MASK_NONE = 1;
export const MASK_ZEROED = 2;
export const MASK_FINITE = 3;
/** Columns of a unit of normBackwardWeights. */
export const COLUMNS = 16;

/** Forms of a matrix product. */
export const FORM_NN = 0;
export const FORM_NT = 1;
export const FORM_TN = 2;

// The kinds of activation.
export const GELU_TANH = 0;
export const GELU = 1;
export const RELU = 2;
export const RELU2 = 3;

// Kernels, named after a kernel of the vocabulary or after the part of one that they compute.
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
export const QK_NORM_BACKWARD_GAINS = 46;
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
export const MULTIPLY_BATCH = 39;
export const DESCEND = 40;
// Kernels whose products the machine's BLAS computes.
export const MULTIPLY_BY_BLAS = 41;
export const ATTENTION_BY_BLAS = 42;
export const ATTENTION_BACKWARD_BY_BLAS = 43;
export const ATTENTION_CACHED_BY_BLAS = 49;
/** A product with few rows, whose right operand is read where it is. */
export const MULTIPLY_FEW_ROWS = 50;
/** Turns a matrix for one. */
export const TURN = 47;
/** Lists of records, of which a unit runs one. A list ends with its memory or a record of NONE. */
export const LISTS = 48;
export const NONE = 0;
/** The sum of arrays, which become 0. */
export const GATHER = 51;
// Kernels of text.
export const LAST_TOKENS = 44;
export const CHOOSE = 45;

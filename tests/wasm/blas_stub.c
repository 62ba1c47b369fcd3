// A slow BLAS for tests, compiled by blas_libraries.ts:
//   SIZE        the type of sizes: int or long
//   CONFIG      if defined, what openblas_get_config returns
//   VECTORS     if defined, as OpenBLAS on a processor that it does not know: 512 if the processor has such vectors,
//               256 or 128; the kernels are those of OPENBLAS_CORETYPE when the library is loaded, else Prescott's
//   LIE(...)    if defined, added to each result: a mistake
//   NO_SGEMM    if defined, the function is missing
#ifndef SIZE
#define SIZE int
#endif
#ifndef LIE
#define LIE(ta, tb, m, n, M, N, K, beta) 0
#endif

#ifdef CONFIG
const char *openblas_get_config(void) { return CONFIG; }
#ifdef VECTORS
#include <stdlib.h>
static const char *core;
__attribute__((constructor)) static void load(void) {
  const char *name = getenv("OPENBLAS_CORETYPE");
  core = name ? name : "Prescott";
}
const char *openblas_get_corename(void) { return core; }
int support_avx2(void) { return VECTORS >= 256; }
int support_avx512(void) { return VECTORS >= 512; }
#else
const char *openblas_get_corename(void) { return "Stub"; }
#endif
#endif

#ifdef NO_SGEMM
void cblas_dgemm(void) {}
#else
void cblas_sgemm(int order, int ta, int tb, SIZE M, SIZE N, SIZE K, float alpha,
                 const float *a, SIZE lda, const float *b, SIZE ldb, float beta,
                 float *y, SIZE ldy) {
  (void)order;
  for (long m = 0; m < M; m++)
    for (long n = 0; n < N; n++) {
      float sum = 0;
      for (long k = 0; k < K; k++)
        sum += a[ta == 112 ? k * lda + m : m * lda + k] *
               b[tb == 112 ? n * ldb + k : k * ldb + n];
      float *to = y + m * ldy + n;
      *to = alpha * sum + (beta == 0 ? 0 : beta * *to) +
            LIE(ta, tb, m, n, M, N, K, beta);
    }
}
#endif

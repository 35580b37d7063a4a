/* Prints what the processor's cores reach now in multiplications and additions, in GFLOP/s: `fma_peak THREADS` of float32
 * vectors, `tile_peak THREADS`, compiled with TILES, of products of bfloat16 tiles whose operands are in their registers.
 *
 * Virtual machines lose a core for seconds at times. Each thread is bound to a processor of its own, since two that the
 * scheduler put on one would look like a lost core. All begin together; the time is that of the last.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#ifdef TILES
#include <immintrin.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined __AVX512F__
#define VECTOR_BYTES 64
#elif defined __AVX__
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
typedef float vector __attribute__((vector_size(VECTOR_BYTES)));

enum { CHAINS = 12, ROUND = 1000, MOST_THREADS = 64 }; /* chains enough to hide the latency, few enough for registers */
static const double warm_up = 0.005, measured = 0.020;

struct worker {
  pthread_t thread;
  int processor;
  double begin, end, operations;
};
static pthread_barrier_t barrier;
static volatile float sink;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + 1e-9 * time.tv_nsec;
}

#ifdef TILES
enum { ROWS = 16, ROW_BYTES = 64, PAIRS = ROW_BYTES / 4, ARCH_REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };

/* The system gives tiles to a process that asks. */
static int prepare(void) { return (int)syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA); }

static void configure(void) {
  struct {
    uint8_t palette, start, zero[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } tiles = {.palette = 1};
  for (int tile = 0; tile < 8; tile++) tiles.row_bytes[tile] = ROW_BYTES, tiles.rows[tile] = ROWS;
  _tile_loadconfig(&tiles);
  _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
  _tile_zero(4); _tile_zero(5); _tile_zero(6); _tile_zero(7);
}

/* Multiplies two tiles with two, again and again, until `seconds` have passed; returns how many operations that were. */
static double compute(double seconds, vector sums[CHAINS]) {
  (void)sums;
  double operations = 0, end = now() + seconds;
  while (now() < end) {
    for (int i = 0; i < ROUND; i++) {
      _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7);
    }
    operations += 2.0 * ROUND * 4 * ROWS * PAIRS * 2 * PAIRS;
  }
  return operations;
}
#else
static int prepare(void) { return 0; }
static void configure(void) {}

/* Multiplies and adds until `seconds` have passed; returns how many operations that were. */
static double compute(double seconds, vector sums[CHAINS]) {
  const vector factor = (vector){0} + 0.999f, summand = (vector){0} + 0.001f;
  double operations = 0, end = now() + seconds;
  while (now() < end) {
    for (int i = 0; i < ROUND; i++)
      for (int chain = 0; chain < CHAINS; chain++) sums[chain] = sums[chain] * factor + summand;
    operations += 2.0 * ROUND * CHAINS * (VECTOR_BYTES / sizeof(float));
  }
  return operations;
}
#endif

static void *work(void *argument) {
  struct worker *worker = argument;
  cpu_set_t processors;
  CPU_ZERO(&processors);
  CPU_SET(worker->processor, &processors);
  pthread_setaffinity_np(pthread_self(), sizeof processors, &processors);
  vector sums[CHAINS] = {0};
  configure();
  compute(warm_up, sums);
  pthread_barrier_wait(&barrier);
  worker->begin = now();
  worker->operations = compute(measured, sums);
  worker->end = now();
  for (int chain = 0; chain < CHAINS; chain++) sink = sums[chain][0];
  return NULL;
}

int main(int count, char **arguments) {
  int threads = count > 1 ? atoi(arguments[1]) : 2;
  static struct worker workers[MOST_THREADS];
  cpu_set_t allowed;
  if (threads < 1 || threads > MOST_THREADS || sched_getaffinity(0, sizeof allowed, &allowed)) return 1;
  int found = 0;
  for (int processor = 0; processor < CPU_SETSIZE && found < threads; processor++)
    if (CPU_ISSET(processor, &allowed)) workers[found++].processor = processor;
  if (prepare()) {
    fputs("the system gives no tiles\n", stderr);
    return 1;
  }
  pthread_barrier_init(&barrier, NULL, found);
  for (int i = 0; i < found; i++)
    if (pthread_create(&workers[i].thread, NULL, work, &workers[i])) return 1;
  double begin = 1e300, end = 0, operations = 0;
  for (int i = 0; i < found; i++) {
    pthread_join(workers[i].thread, NULL);
    if (workers[i].begin < begin) begin = workers[i].begin;
    if (workers[i].end > end) end = workers[i].end;
    operations += workers[i].operations;
  }
  printf("%.1f\n", operations / (end - begin) * 1e-9);
  return 0;
}

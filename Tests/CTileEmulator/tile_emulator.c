#define _GNU_SOURCE
#include "tile_emulator.h"

#if defined(__linux__) && defined(__x86_64__)

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64 };

// Of each thread, as in a processor. Intel's manual, volume 1, chapter 18.
static _Thread_local struct {
  uint8_t rows[TILES];
  uint16_t rowBytes[TILES];
  uint8_t data[TILES][ROWS][ROW_BYTES];
} tiles;

static struct sigaction previous;

/// The fields of an instruction with a VEX prefix of three bytes.
typedef struct {
  int prefix, opcode, reg, vvvv, rm;
  int hasMemory;
  uint8_t *base;
  int64_t stride;
  size_t length;
} Instruction;

static uint64_t generalRegister(const ucontext_t *context, int number) {
  static const int places[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                 REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return (uint64_t)context->uc_mcontext.gregs[places[number]];
}

static int64_t displacement(const uint8_t *code, size_t size) {
  if (size == 1) return (int8_t)*code;
  int32_t number;
  memcpy(&number, code, sizeof number);
  return number;
}

/// Volume 2, 2.3 and table 2-3: VEX.128 in the map 0F38. Returns 0 where it is another instruction.
static int decode(const ucontext_t *context, Instruction *d) {
  const uint8_t *code = (const uint8_t *)context->uc_mcontext.gregs[REG_RIP], *p = code;
  if (p[0] != 0xC4 || (p[1] & 0x1F) != 2 || (p[2] & 4) != 0) return 0;
  const int upperIndex = p[1] & 0x40 ? 0 : 8, upperBase = p[1] & 0x20 ? 0 : 8;
  d->vvvv = ~p[2] >> 3 & 15;
  d->prefix = p[2] & 3;
  d->opcode = p[3];
  if (d->vvvv >= TILES && d->opcode >= 0x50) return 0;  // No such tile.
  const uint8_t modRM = p[4];
  const int mode = modRM >> 6;
  d->reg = modRM >> 3 & 7;
  d->rm = modRM & 7;
  d->hasMemory = mode != 3;
  d->stride = 0;
  d->base = NULL;
  p += 5;
  if (d->hasMemory) {
    int base = d->rm, isRelative = mode == 0 && d->rm == 5;
    if (d->rm == 4) {
      const int index = (*p >> 3 & 7) | upperIndex;
      base = *p & 7;
      if (mode == 0 && base == 5) return 0;
      if (index != 4) d->stride = (int64_t)generalRegister(context, index) << (*p >> 6);
      p += 1;
    }
    const size_t size = mode == 1 ? 1 : mode == 2 || isRelative ? 4 : 0;
    const int64_t distance = size ? displacement(p, size) : 0;
    p += size;
    const uint64_t origin = isRelative ? (uint64_t)p : generalRegister(context, base | upperBase);
    d->base = (uint8_t *)(origin + (uint64_t)distance);
  }
  d->length = (size_t)(p - code);
  return 1;
}

static int configure(const uint8_t *memory) {
  memset(&tiles, 0, sizeof tiles);
  for (int tile = 0; tile < TILES; ++tile) {
    memcpy(&tiles.rowBytes[tile], memory + 16 + 2 * tile, 2);
    tiles.rows[tile] = memory[48 + tile];
    if (tiles.rows[tile] > ROWS || tiles.rowBytes[tile] > ROW_BYTES) return 0;
  }
  return 1;
}

static void load(const Instruction *d) {
  memset(tiles.data[d->reg], 0, sizeof tiles.data[d->reg]);
  for (int row = 0; row < tiles.rows[d->reg]; ++row)
    memcpy(tiles.data[d->reg][row], d->base + row * d->stride, tiles.rowBytes[d->reg]);
}

static void store(const Instruction *d) {
  for (int row = 0; row < tiles.rows[d->reg]; ++row)
    memcpy(d->base + row * d->stride, tiles.data[d->reg][row], tiles.rowBytes[d->reg]);
}

/// tdpb{ss,su,us,uu}d: sums of 32 bits that wrap around.
static void multiplyBytes(const Instruction *d, int leftIsSigned, int rightIsSigned) {
  for (int row = 0; row < tiles.rows[d->reg]; ++row) {
    for (int column = 0; column < tiles.rowBytes[d->reg] / 4; ++column) {
      uint8_t *place = &tiles.data[d->reg][row][4 * column];
      uint32_t sum;
      memcpy(&sum, place, sizeof sum);
      for (int byte = 0; byte < tiles.rowBytes[d->rm]; ++byte) {
        const uint8_t a = tiles.data[d->rm][row][byte];
        const uint8_t b = tiles.data[d->vvvv][byte / 4][4 * column + byte % 4];
        sum += (uint32_t)((leftIsSigned ? (int8_t)a : a) * (rightIsSigned ? (int8_t)b : b));
      }
      memcpy(place, &sum, sizeof sum);
    }
  }
}

/// Subnormal numbers count as zero.
static float flushed(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7F800000u) == 0) bits &= 0x80000000u;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static float number(const uint8_t *bfloat16) {
  const uint32_t bits = (uint32_t)bfloat16[0] << 16 | (uint32_t)bfloat16[1] << 24;
  float x;
  memcpy(&x, &bits, sizeof x);
  return flushed(x);
}

/// tdpbf16ps, in the order that was measured: even elements from zero, odd ones from zero, the two together, the old sum.
static void multiplyBFloat16(const Instruction *d) {
  for (int row = 0; row < tiles.rows[d->reg]; ++row) {
    for (int column = 0; column < tiles.rowBytes[d->reg] / 4; ++column) {
      float sums[2] = {0, 0}, old;
      for (int pair = 0; pair < tiles.rowBytes[d->rm] / 4; ++pair) {
        for (int half = 0; half < 2; ++half) {
          const float a = number(&tiles.data[d->rm][row][4 * pair + 2 * half]);
          const float b = number(&tiles.data[d->vvvv][pair][4 * column + 2 * half]);
          sums[half] = flushed(__builtin_fmaf(a, b, sums[half]));
        }
      }
      uint8_t *place = &tiles.data[d->reg][row][4 * column];
      memcpy(&old, place, sizeof old);
      old = flushed(flushed(old) + flushed(sums[0] + sums[1]));
      memcpy(place, &old, sizeof old);
    }
  }
}

/// Returns 0 where it is another instruction.
static int run(const Instruction *d) {
  enum { NONE, P66, PF3, PF2 };
  switch (d->opcode) {
    case 0x49:
      if (d->hasMemory) return d->prefix == NONE && configure(d->base);  // ldtilecfg
      if (d->prefix == PF2) memset(tiles.data[d->reg], 0, sizeof tiles.data[d->reg]);  // tilezero
      if (d->prefix == NONE) memset(&tiles, 0, sizeof tiles);  // tilerelease
      return d->prefix == PF2 || d->prefix == NONE;
    case 0x4B:
      if (!d->hasMemory || d->prefix == NONE) return 0;
      if (d->prefix == PF3) store(d); else load(d);
      return 1;
    case 0x5E:
      if (d->hasMemory) return 0;
      multiplyBytes(d, d->prefix == PF2 || d->prefix == PF3, d->prefix == PF2 || d->prefix == P66);
      return 1;
    case 0x5C:
      if (d->hasMemory || d->prefix != PF3) return 0;
      multiplyBFloat16(d);
      return 1;
    default: return 0;
  }
}

static void handle(int signal, siginfo_t *info, void *argument) {
  (void)signal;
  (void)info;
  ucontext_t *context = argument;
  Instruction instruction;
  if (decode(context, &instruction) && run(&instruction)) {
    context->uc_mcontext.gregs[REG_RIP] += (greg_t)instruction.length;
  } else {
    sigaction(SIGILL, &previous, NULL);  // The instruction is tried again.
  }
}

int tile_emulator_install(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  return sigaction(SIGILL, &action, &previous) == 0;
}

#else

int tile_emulator_install(void) { return 0; }

#endif

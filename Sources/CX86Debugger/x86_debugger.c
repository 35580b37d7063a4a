#include "x86_debugger.h"

__attribute__((weak)) struct jit_descriptor __jit_debug_descriptor = {1, 0, 0, 0};

__attribute__((weak, noinline)) void __jit_debug_register_code(void) { __asm__ volatile("" ::: "memory"); }

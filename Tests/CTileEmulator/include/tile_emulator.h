#ifndef TILE_EMULATOR_H
#define TILE_EMULATOR_H

/// Lets this process run AMX's instructions on a processor that has none: each raises SIGILL, and the handler computes what
/// the instruction would. Loads, stores, zeroing, products of bytes and of bfloat16; what it does not know ends the process
/// as before.
/// @return 1, or 0 where this is no x86-64 Linux.
int tile_emulator_install(void);

#endif

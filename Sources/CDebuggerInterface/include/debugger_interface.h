/* Where gdb looks for code that was generated at run time: "JIT Compilation Interface" in its manual. In C, since Swift
   cannot give a variable the name that gdb looks for. The names are gdb's. Both symbols stay inside libswiftcnn.so,
   which exports only scnn_*: gdb finds them in the symbol table of a library or program that is not stripped. */
#ifndef DEBUGGER_INTERFACE_H
#define DEBUGGER_INTERFACE_H

#include <stdint.h>

/* A file in memory that describes code. */
struct jit_code_entry {
  struct jit_code_entry *next_entry, *prev_entry;
  const void *symfile_addr;
  uint64_t symfile_size;
};

/* All of them, and what was done last. */
struct jit_descriptor {
  uint32_t version;
  uint32_t action_flag; /* 0 nothing, 1 registered, 2 removed */
  struct jit_code_entry *relevant_entry, *first_entry;
};

/* The one that gdb reads. */
struct jit_descriptor *debugger_descriptor(void);

/* Does nothing: gdb stops in it and reads. */
void __jit_debug_register_code(void);

#endif

/* Where gdb looks for code that was generated at run time: "JIT Compilation Interface" in its manual. In C, since Swift
   cannot give a variable the name that gdb looks for.

   libswiftcnn.so exports only scnn_*, so these stay inside it; gdb finds them in the symbol table of whatever is not
   stripped, such as the tests. They are weak, since a compiler in the same program may have its own, and gdb wants one.
*/
#ifndef X86_DEBUGGER_H
#define X86_DEBUGGER_H

#include <stdint.h>

/* A file in memory that describes code. The names are those of gdb's manual. */
struct jit_code_entry {
  struct jit_code_entry *next_entry, *prev_entry;
  const void *symfile_addr;
  uint64_t symfile_size;
};

/* All such files, and what was done last. */
struct jit_descriptor {
  uint32_t version;
  uint32_t action_flag; /* 0 nothing, 1 added, 2 removed */
  struct jit_code_entry *relevant_entry, *first_entry;
};

/* What gdb reads. */
extern struct jit_descriptor __jit_debug_descriptor;

/* Does nothing: gdb stops in it and reads. */
void __jit_debug_register_code(void);

/* The descriptor, in a form that Swift can use. */
__attribute__((returns_nonnull)) static inline struct jit_descriptor *x86_debugger_descriptor(void) {
  return &__jit_debug_descriptor;
}

#endif

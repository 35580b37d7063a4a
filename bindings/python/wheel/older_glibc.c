/* What Swift's runtime, compiled on a newer system, asks of libc and libstdc++ by names that older ones lack: the
   functions that their headers of then made of others. They are no part of what the library shows. */

#include <stdlib.h>

struct stat;

/* Since glibc 2.33 functions, before that macros for these; the number is that of the structure's layout on x86-64. */
enum { STAT_VERSION = 1 };

int __xstat(int version, const char *path, struct stat *result);
int __lxstat(int version, const char *path, struct stat *result);
int __fxstat(int version, int file, struct stat *result);

int stat(const char *path, struct stat *result) { return __xstat(STAT_VERSION, path, result); }
int lstat(const char *path, struct stat *result) { return __lxstat(STAT_VERSION, path, result); }
int fstat(int file, struct stat *result) { return __fxstat(STAT_VERSION, file, result); }

/* std::__throw_bad_array_new_length(), since GCC 11. Nothing catches exceptions here: it ends the process. */
__attribute__((noreturn)) void _ZSt28__throw_bad_array_new_lengthv(void) { abort(); }

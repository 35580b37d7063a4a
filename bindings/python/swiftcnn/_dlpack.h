/*
 * DLPack, by which array libraries hand each other memory without a copy: the structures of its C interface, in the form
 * from before version 1 and in that of version 1, and what this extension does with them.
 */
#ifndef SWIFTCNN_DLPACK_H
#define SWIFTCNN_DLPACK_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

/* The type of an object that holds a tensor of another library and gives its memory by the buffer protocol. */
extern PyType_Spec dlpack_borrowed_spec;

/* Takes over what a capsule holds: an object of `type`, or NULL with an exception. What is refused stays the capsule's.
 * Elements of bfloat16 are taken if `takes_bfloat16`, as structures with the one field "bfloat16", their bits. */
PyObject *dlpack_borrow(PyTypeObject *type, PyObject *capsule, int takes_bfloat16);

/* A capsule with the memory of `object`, which must be dense, row-major and of one of DLPack's types; in the form of
 * version 1 if `versioned`. `copied` says that nobody else has this memory. NULL with an exception. */
PyObject *dlpack_lend(PyObject *object, int versioned, int copied);

#endif

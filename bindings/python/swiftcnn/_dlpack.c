#define Py_LIMITED_API 0x030B0000
#include "_dlpack.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------ the interface */

enum { MAJOR_VERSION = 1, MAX_RANK = 32 /* the most that every NumPy takes */ };

/* Kinds of devices whose memory the processor reads as its own: its memory, and that which is pinned for a GPU. */
enum { DEVICE_CPU = 1, DEVICE_CUDA_HOST = 3, DEVICE_ROCM_HOST = 11 };

enum { KIND_INT = 0, KIND_UINT = 1, KIND_FLOAT = 2, KIND_BFLOAT = 4, KIND_COMPLEX = 5, KIND_BOOL = 6 };

enum { FLAG_READ_ONLY = 1, FLAG_COPIED = 2 };

typedef struct {
  void *data;
  struct {
    int32_t kind, number;
  } device;
  int32_t rank;
  struct {
    uint8_t kind, bits;
    uint16_t lanes;
  } type;
  int64_t *shape;
  int64_t *strides; /* in elements; NULL where it is row-major */
  uint64_t byte_offset;
} Tensor;

/* Before version 1, in a capsule named "dltensor". */
typedef struct Unversioned {
  Tensor tensor;
  void *context;
  void (*release)(struct Unversioned *);
} Unversioned;

/* In a capsule named "dltensor_versioned"; all up to the tensor is the same in every version to come. */
typedef struct Versioned {
  uint32_t major, minor;
  void *context;
  void (*release)(struct Versioned *);
  uint64_t flags;
  Tensor tensor;
} Versioned;

static const char UNVERSIONED[] = "dltensor", VERSIONED[] = "dltensor_versioned";
/* The names that say that somebody has taken what is within. */
static const char USED_UNVERSIONED[] = "used_dltensor", USED_VERSIONED[] = "used_dltensor_versioned";

/* Elements that NumPy has too, with their format of the buffer protocol. */
static const struct {
  uint8_t kind, bits;
  const char *format;
} ELEMENTS[] = {
    {KIND_BOOL, 8, "?"},  {KIND_INT, 8, "b"},   {KIND_INT, 16, "h"},   {KIND_INT, 32, "i"},   {KIND_INT, 64, "q"},
    {KIND_UINT, 8, "B"},  {KIND_UINT, 16, "H"}, {KIND_UINT, 32, "I"},  {KIND_UINT, 64, "Q"},  {KIND_FLOAT, 16, "e"},
    {KIND_FLOAT, 32, "f"}, {KIND_FLOAT, 64, "d"},
};
enum { ELEMENT_COUNT = sizeof ELEMENTS / sizeof *ELEMENTS };
/* NumPy has no bfloat16: its bits, under a name by which they are known. */
static const char BFLOAT16_FORMAT[] = "T{H:bfloat16:}";

static const char *kind_name(uint8_t kind) {
  static const char *const names[] = {"int", "uint", "float", "handle", "bfloat", "complex", "bool"};
  return kind < sizeof names / sizeof *names ? names[kind] : "narrow float";
}

static void free_object(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
  Py_DECREF(type);
}

/* --------------------------------------------------------------------------------------------------------- borrowing */

typedef struct {
  PyObject_HEAD
  Unversioned *unversioned; /* one of the two */
  Versioned *versioned;
  char *start; /* of the first element */
  const char *format;
  Py_ssize_t itemsize, bytes;
  int rank, readonly;
  Py_ssize_t shape[MAX_RANK], strides[MAX_RANK]; /* in bytes */
} Borrowed;

/* The distance in bytes from one element of an axis to the next; 0, or -1 where that is no number. */
static int set_stride(Borrowed *borrowed, const Tensor *tensor, int axis, Py_ssize_t row_major) {
  Py_ssize_t size = borrowed->shape[axis];
  if (!tensor->strides) {
    borrowed->strides[axis] = row_major;
    return 0;
  }
  /* Whatever is said of an axis of at most one element is never used. */
  int64_t elements = size > 1 ? tensor->strides[axis] : 0;
  Py_ssize_t span; /* from the first to the last */
  if (__builtin_mul_overflow(elements, borrowed->itemsize, &borrowed->strides[axis])) return -1;
  if (size <= 1) borrowed->strides[axis] = row_major;
  return size > 1 && __builtin_mul_overflow(borrowed->strides[axis], size - 1, &span) ? -1 : 0;
}

/* Reads shape and strides; 0, or -1 with an exception. */
static int read_layout(Borrowed *borrowed, const Tensor *tensor) {
  if (tensor->rank < 0 || tensor->rank > MAX_RANK) {
    PyErr_Format(PyExc_ValueError, "expected a DLPack tensor of 0 to %d axes, got ndim %d", MAX_RANK, tensor->rank);
    return -1;
  }
  if (tensor->rank > 0 && !tensor->shape) {
    PyErr_Format(PyExc_ValueError, "expected a DLPack tensor with a shape, got none for ndim %d", tensor->rank);
    return -1;
  }
  borrowed->rank = tensor->rank;
  Py_ssize_t bytes = borrowed->itemsize;
  int has_elements = 1, overflows = 0;
  for (int axis = 0; axis < tensor->rank; axis++) {
    int64_t size = tensor->shape[axis];
    if (size < 0 || size > PY_SSIZE_T_MAX) {
      PyErr_Format(PyExc_ValueError, "expected a DLPack tensor with sizes of 0 or more, got shape[%d] = %lld", axis,
                   (long long)size);
      return -1;
    }
    borrowed->shape[axis] = (Py_ssize_t)size;
    if (size == 0) has_elements = 0;
  }
  for (int axis = tensor->rank - 1; axis >= 0; axis--) {
    overflows |= set_stride(borrowed, tensor, axis, bytes) != 0;
    Py_ssize_t size = borrowed->shape[axis];
    overflows |= __builtin_mul_overflow(bytes, size > 0 ? size : 1, &bytes);
  }
  if (overflows) {
    PyErr_SetString(PyExc_ValueError, "the shape and strides of the DLPack tensor are beyond the memory there is");
    return -1;
  }
  borrowed->bytes = has_elements ? bytes : 0;
  uintptr_t start = (uintptr_t)tensor->data;
  if (has_elements && !start) {
    PyErr_SetString(PyExc_ValueError, "the DLPack tensor has elements, but no memory");
    return -1;
  }
  if (tensor->byte_offset > UINTPTR_MAX - start) {
    PyErr_Format(PyExc_ValueError, "the DLPack tensor's byte_offset %llu is beyond the memory there is",
                 (unsigned long long)tensor->byte_offset);
    return -1;
  }
  borrowed->start = (char *)(start + (uintptr_t)tensor->byte_offset);
  return 0;
}

/* Reads what the elements are and where; 0, or -1 with an exception. */
static int read_tensor(Borrowed *borrowed, const Tensor *tensor, int takes_bfloat16) {
  int32_t device = tensor->device.kind;
  if (device != DEVICE_CPU && device != DEVICE_CUDA_HOST && device != DEVICE_ROCM_HOST) {
    PyErr_Format(PyExc_ValueError, "expected a DLPack tensor in the processor's memory, got one of device type %d",
                 (int)device);
    return -1;
  }
  for (int i = 0; i < ELEMENT_COUNT; i++) {
    if (ELEMENTS[i].kind == tensor->type.kind && ELEMENTS[i].bits == tensor->type.bits && tensor->type.lanes == 1) {
      borrowed->format = ELEMENTS[i].format;
      borrowed->itemsize = ELEMENTS[i].bits / 8;
      return read_layout(borrowed, tensor);
    }
  }
  if (takes_bfloat16 && tensor->type.kind == KIND_BFLOAT && tensor->type.bits == 16 && tensor->type.lanes == 1) {
    borrowed->format = BFLOAT16_FORMAT;
    borrowed->itemsize = 2;
    return read_layout(borrowed, tensor);
  }
  PyErr_Format(PyExc_TypeError,
               "expected a DLPack tensor of bool8, int8 to int64, uint8 to uint64 or float16 to float64, got %s%d%s",
               kind_name(tensor->type.kind), tensor->type.bits,
               tensor->type.lanes == 1 ? "" : ", several to an element");
  return -1;
}

static PyObject *refuse_capsule(PyObject *capsule) {
  if (!PyCapsule_CheckExact(capsule)) {
    return PyErr_Format(PyExc_TypeError, "expected a DLPack capsule, got an object of type %R", Py_TYPE(capsule));
  }
  const char *name = PyCapsule_GetName(capsule);
  if (PyErr_Occurred()) return NULL;
  if (name && (strcmp(name, USED_UNVERSIONED) == 0 || strcmp(name, USED_VERSIONED) == 0)) {
    PyErr_SetString(PyExc_ValueError, "the DLPack capsule is used up: each can be taken once");
  } else {
    PyErr_Format(PyExc_ValueError, "expected a DLPack capsule, named '%s' or '%s', got one named '%s'", UNVERSIONED,
                 VERSIONED, name ? name : "");
  }
  return NULL;
}

PyObject *dlpack_borrow(PyTypeObject *type, PyObject *capsule, int takes_bfloat16) {
  Versioned *versioned = NULL;
  Unversioned *unversioned = NULL;
  if (PyCapsule_IsValid(capsule, VERSIONED)) {
    versioned = PyCapsule_GetPointer(capsule, VERSIONED);
    if (!versioned) return NULL;
    if (versioned->major != MAJOR_VERSION) {
      return PyErr_Format(PyExc_ValueError, "expected DLPack of version %d, got version %u.%u", MAJOR_VERSION,
                          (unsigned)versioned->major, (unsigned)versioned->minor);
    }
  } else if (PyCapsule_IsValid(capsule, UNVERSIONED)) {
    unversioned = PyCapsule_GetPointer(capsule, UNVERSIONED);
    if (!unversioned) return NULL;
  } else {
    return refuse_capsule(capsule);
  }
  PyObject *object = ((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
  if (!object) return NULL;
  Borrowed *borrowed = (Borrowed *)object;
  /* Before version 1 nobody could say that memory must not be written, so it is not. */
  borrowed->readonly = versioned ? (versioned->flags & FLAG_READ_ONLY) != 0 : 1;
  if (read_tensor(borrowed, versioned ? &versioned->tensor : &unversioned->tensor, takes_bfloat16) != 0 ||
      PyCapsule_SetName(capsule, versioned ? USED_VERSIONED : USED_UNVERSIONED) != 0) {
    Py_DECREF(object);
    return NULL;
  }
  borrowed->versioned = versioned; /* from here on it is this object that releases it */
  borrowed->unversioned = unversioned;
  return object;
}

static void borrowed_dealloc(PyObject *self) {
  Borrowed *borrowed = (Borrowed *)self;
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback); /* whatever the other library does there is not to be lost */
  if (borrowed->versioned && borrowed->versioned->release) borrowed->versioned->release(borrowed->versioned);
  if (borrowed->unversioned && borrowed->unversioned->release) borrowed->unversioned->release(borrowed->unversioned);
  PyErr_Restore(type, value, traceback);
  free_object(self);
}

static int borrowed_getbuffer(PyObject *self, Py_buffer *view, int flags) {
  Borrowed *borrowed = (Borrowed *)self;
  view->obj = NULL;
  if ((flags & PyBUF_WRITABLE) && borrowed->readonly) {
    PyErr_SetString(PyExc_BufferError, "the memory is read-only");
    return -1;
  }
  view->buf = borrowed->start;
  view->len = borrowed->bytes;
  view->itemsize = borrowed->itemsize;
  view->readonly = borrowed->readonly;
  view->ndim = borrowed->rank;
  view->format = (char *)borrowed->format;
  view->shape = borrowed->shape;
  view->strides = borrowed->strides;
  view->suboffsets = NULL;
  view->internal = NULL;
  int needs_rows = (flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS || (flags & PyBUF_STRIDES) != PyBUF_STRIDES;
  int needs_columns = (flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS;
  int needs_any = (flags & PyBUF_ANY_CONTIGUOUS) == PyBUF_ANY_CONTIGUOUS;
  if ((needs_rows && !PyBuffer_IsContiguous(view, 'C')) || (needs_columns && !PyBuffer_IsContiguous(view, 'F')) ||
      (needs_any && !PyBuffer_IsContiguous(view, 'A'))) {
    PyErr_SetString(PyExc_BufferError, "the memory is not contiguous");
    return -1;
  }
  if (!(flags & PyBUF_FORMAT)) view->format = NULL;
  if ((flags & PyBUF_STRIDES) != PyBUF_STRIDES) view->strides = NULL;
  if (!(flags & PyBUF_ND)) view->shape = NULL;
  Py_INCREF(self);
  view->obj = self;
  return 0;
}

static PyType_Slot borrowed_slots[] = {{Py_tp_dealloc, borrowed_dealloc},
                                       {Py_bf_getbuffer, borrowed_getbuffer},
                                       {Py_tp_doc, "Memory of another library's tensor, by the buffer protocol."},
                                       {0, NULL}};

PyType_Spec dlpack_borrowed_spec = {
    "swiftcnn._swiftcnn.Borrowed", sizeof(Borrowed), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION, borrowed_slots};

/* ----------------------------------------------------------------------------------------------------------- lending */

typedef struct {
  union {
    Versioned versioned;
    Unversioned unversioned;
  } managed; /* first, so that its address is that of all */
  Py_buffer view;
  int64_t shape[MAX_RANK], strides[MAX_RANK];
} Loan;

/* May be called on any thread, with or without the interpreter's lock. */
static void release_loan(void *loan) {
  if (!Py_IsInitialized()) return; /* the memory is gone with the interpreter */
  PyGILState_STATE state = PyGILState_Ensure();
  PyBuffer_Release(&((Loan *)loan)->view);
  PyGILState_Release(state);
  free(loan);
}

static void release_versioned(Versioned *managed) { release_loan(managed); }
static void release_unversioned(Unversioned *managed) { release_loan(managed); }

/* Nobody has taken what the capsule holds. */
static void destroy_capsule(PyObject *capsule) {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  const char *name = PyCapsule_IsValid(capsule, VERSIONED) ? VERSIONED : UNVERSIONED;
  if (PyCapsule_IsValid(capsule, name)) release_loan(PyCapsule_GetPointer(capsule, name));
  PyErr_Restore(type, value, traceback);
}

/* Describes the borrowed memory; 0, or -1 with an exception. */
static int write_tensor(Loan *loan, Tensor *tensor) {
  const Py_buffer *view = &loan->view;
  const char *format = view->format ? view->format : "B";
  tensor->data = view->buf;
  tensor->device.kind = DEVICE_CPU;
  tensor->rank = view->ndim;
  tensor->shape = loan->shape;
  tensor->strides = loan->strides;
  tensor->type.lanes = 1;
  int64_t stride = 1;
  for (int axis = view->ndim - 1; axis >= 0; axis--) {
    loan->shape[axis] = view->shape[axis];
    loan->strides[axis] = stride;
    stride *= view->shape[axis]; /* no more than the bytes there are */
  }
  for (int i = 0; i < ELEMENT_COUNT; i++) {
    if (strcmp(ELEMENTS[i].format, format) == 0) {
      tensor->type.kind = ELEMENTS[i].kind;
      tensor->type.bits = ELEMENTS[i].bits;
      return 0;
    }
  }
  PyErr_Format(PyExc_BufferError, "DLPack has no elements of format '%s'", format);
  return -1;
}

PyObject *dlpack_lend(PyObject *object, int versioned, int copied) {
  Loan *loan = calloc(1, sizeof *loan);
  if (!loan) return PyErr_NoMemory();
  if (PyObject_GetBuffer(object, &loan->view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) != 0) {
    free(loan);
    return NULL;
  }
  PyObject *capsule = NULL;
  Tensor *tensor = versioned ? &loan->managed.versioned.tensor : &loan->managed.unversioned.tensor;
  if (loan->view.ndim > MAX_RANK) {
    PyErr_Format(PyExc_BufferError, "expected at most %d axes, got %d", MAX_RANK, loan->view.ndim);
  } else if (loan->view.readonly && !versioned) {
    PyErr_SetString(PyExc_BufferError, "read-only memory can be given by DLPack of version 1 only");
  } else if (write_tensor(loan, tensor) == 0) {
    if (versioned) {
      loan->managed.versioned.major = MAJOR_VERSION;
      loan->managed.versioned.release = release_versioned;
      loan->managed.versioned.flags = (loan->view.readonly ? FLAG_READ_ONLY : 0) | (copied ? FLAG_COPIED : 0);
    } else {
      loan->managed.unversioned.release = release_unversioned;
    }
    capsule = PyCapsule_New(loan, versioned ? VERSIONED : UNVERSIONED, destroy_capsule);
  }
  if (!capsule) {
    PyBuffer_Release(&loan->view);
    free(loan);
  }
  return capsule;
}

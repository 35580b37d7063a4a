/*
 * The C ABI of SwiftCNN (include/swiftcnn.h) as a Python module, and nothing more: arrays come in and go out through the
 * buffer protocol without a copy, statuses become exceptions, handles become objects. What is convenient (conversion of
 * dtypes, names, defaults) is Python's affair: see the package around this file.
 *
 * - The lock of the interpreter is released around every call that takes a handle, because such a call may compute,
 *   read a file, or wait for another thread that uses the same model.
 * - Handles are freed when their object dies. A method runs only while its object is referenced, so no call can meet a
 *   handle that another thread frees.
 * - One file for every Python from 3.11 on (the limited API, PEP 384).
 */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "_dlpack.h"
#include "swiftcnn.h"

/* --------------------------------------------------------------------------------------------------------- statuses */

/* What a thread has given back of the interpreter while it is in the library. */
static _Thread_local PyThreadState *unlocked_state;

/* `status = call`, with the interpreter free for other threads. */
#define UNLOCKED(status, call)            \
  do {                                    \
    unlocked_state = PyEval_SaveThread(); \
    (status) = (call);                    \
    PyEval_RestoreThread(unlocked_state); \
    unlocked_state = NULL;                \
  } while (0)

/* What a long call asks now and then: whether a signal's handler has raised an exception, as Ctrl-C's does. Python runs
 * handlers in the main thread only, which is the one with the process's own number. */
static int32_t is_interrupted(void) {
  if (unlocked_state == NULL || syscall(SYS_gettid) != getpid()) return 0;
  PyEval_RestoreThread(unlocked_state);
  int result = PyErr_CheckSignals();
  unlocked_state = PyEval_SaveThread();
  return result != 0;
}

/* Warns, the first time that it is so, where computations are many times slower than they could be; 0, or -1 with an
 * exception where warnings are errors. */
static int warn_if_slow(void) {
  static int is_warned;
  const char *reason = is_warned ? "" : scnn_slow_reason();
  if (!*reason) return 0;
  is_warned = 1;
  return PyErr_WarnEx(PyExc_RuntimeWarning, reason, 3);
}

static PyObject *exception_for(scnn_status status) {
  switch (status) {
    case SCNN_INVALID_ARGUMENT:
    case SCNN_SHAPE_MISMATCH:
    case SCNN_UNKNOWN_NAME:
    case SCNN_MALFORMED_FILE: return PyExc_ValueError;
    case SCNN_OUT_OF_MEMORY: return PyExc_MemoryError;
    case SCNN_IO: return PyExc_OSError;
    case SCNN_NOT_FINITE: return PyExc_FloatingPointError;
    default: return PyExc_RuntimeError;
  }
}

/* Raises what `status` means, with the library's sentence; always NULL. OSError makes of errno one of its subclasses, as
 * FileNotFoundError; taking the interpreter's lock leaves errno as it is. */
static PyObject *raise_status(scnn_status status) {
  PyObject *arguments = status == SCNN_IO && errno ? Py_BuildValue("(is)", errno, scnn_last_error()) : NULL;
  if (arguments) {
    PyErr_SetObject(PyExc_OSError, arguments);
    Py_DECREF(arguments);
  } else if (!PyErr_Occurred()) {
    PyErr_SetString(exception_for(status), scnn_last_error());
  }
  return NULL;
}

/* None, or the exception. */
static PyObject *none_or_raise(scnn_status status) {
  if (status != SCNN_OK) return raise_status(status);
  Py_RETURN_NONE;
}

/* Of a call that computes: 0, or -1 with an exception. */
static int check_computed(scnn_status status) {
  if (status == SCNN_OK) return warn_if_slow();
  raise_status(status);
  return -1;
}

/* ------------------------------------------------------------------------------------------------- arrays and texts */

/* The element type of a buffer's format (PEP 3118), or -1. */
static int32_t element_type(const Py_buffer *view) {
  const char *format = view->format ? view->format : "B";
  if (*format == '@' || *format == '=' || *format == '<') format++;
  if (format[0] == '\0' || format[1] != '\0') return -1;
  if (*format == 'f' && view->itemsize == 4) return SCNN_FLOAT32;
  if ((*format == 'i' || *format == 'l') && view->itemsize == 4) return SCNN_INT32;
  if (*format == 'B' && view->itemsize == 1) return SCNN_UINT8;
  return -1;
}

/* Borrows the memory of `object`; 0, or -1 with an exception. What succeeds is ended by PyBuffer_Release. */
static int borrow_tensor(PyObject *object, const char *argument, Py_buffer *view, scnn_tensor *tensor) {
  if (PyObject_GetBuffer(object, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) != 0) return -1;
  int32_t type = element_type(view);
  if (type < 0) {
    PyErr_Format(PyExc_TypeError, "%s: expected elements of type float32, int32 or uint8, got format '%s'", argument,
                 view->format);
  } else if (view->ndim > SCNN_MAX_RANK) {
    PyErr_Format(PyExc_ValueError, "%s: expected at most %d axes, got %d", argument, SCNN_MAX_RANK, view->ndim);
  } else {
    memset(tensor, 0, sizeof *tensor);
    tensor->data = view->buf;
    tensor->dtype = type;
    tensor->rank = view->ndim;
    for (int axis = 0; axis < view->ndim; axis++) tensor->shape[axis] = view->shape[axis];
    return 0;
  }
  PyBuffer_Release(view);
  return -1;
}

/* Borrows float32 memory that the library reads or (`writable`) fills. */
static int borrow_floats(PyObject *object, const char *argument, int writable, Py_buffer *view, size_t *count) {
  int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
  if (PyObject_GetBuffer(object, view, flags) != 0) return -1;
  if (element_type(view) != SCNN_FLOAT32) {
    PyErr_Format(PyExc_TypeError, "%s: expected float32, got format '%s'", argument, view->format);
    PyBuffer_Release(view);
    return -1;
  }
  *count = (size_t)view->len / sizeof(float);
  return 0;
}

/* What a model reads: an array, or of several inputs a tuple of arrays. */
typedef struct {
  Py_buffer *views;
  scnn_tensor *tensors;
  Py_ssize_t count;   /* how many are borrowed */
  scnn_tensor tensor; /* as the library takes it */
} Inputs;

/* Also of one that holds nothing, which is all zeros. */
static void release_inputs(Inputs *inputs) {
  while (inputs->count > 0) PyBuffer_Release(&inputs->views[--inputs->count]);
  PyMem_Free(inputs->views);
  PyMem_Free(inputs->tensors);
  inputs->views = NULL;
  inputs->tensors = NULL;
}

/* Makes `inputs` a list of as many tensors, which are still to be filled in. */
static int list_inputs(Inputs *inputs, Py_ssize_t count) {
  memset(inputs, 0, sizeof *inputs);
  inputs->views = PyMem_Calloc((size_t)count + 1, sizeof *inputs->views);
  inputs->tensors = PyMem_Calloc((size_t)count + 1, sizeof *inputs->tensors);
  inputs->tensor = (scnn_tensor){.data = inputs->tensors, .dtype = SCNN_TENSORS, .rank = 1, .shape = {count}};
  if (inputs->views && inputs->tensors) return 0;
  release_inputs(inputs);
  PyErr_NoMemory();
  return -1;
}

static int borrow_inputs(PyObject *object, Inputs *inputs) {
  int is_list = PyTuple_Check(object);
  if (list_inputs(inputs, is_list ? PyTuple_Size(object) : 1) != 0) return -1;
  for (Py_ssize_t i = 0; i < inputs->tensor.shape[0]; i++) {
    PyObject *array = is_list ? PyTuple_GetItem(object, i) : object;
    if (!array || borrow_tensor(array, "x", &inputs->views[i], &inputs->tensors[i]) != 0) {
      release_inputs(inputs);
      return -1;
    }
    inputs->count = i + 1;
  }
  if (!is_list) inputs->tensor = inputs->tensors[0];
  return 0;
}

/* The arrays of one training or evaluation call. */
typedef struct {
  Inputs x;
  Py_buffer views[2];
  scnn_tensor tensors[2]; /* y, sample weights */
  int count;              /* how many of these are borrowed: 1 where there are no sample weights */
} Batch;

static void release_batch(Batch *batch) {
  release_inputs(&batch->x);
  while (batch->count > 0) PyBuffer_Release(&batch->views[--batch->count]);
}

static int borrow_batch(Batch *batch, PyObject *x, PyObject *y, PyObject *sample_weight) {
  static const char *const arguments[] = {"y", "sample_weight"};
  PyObject *objects[] = {y, sample_weight};
  batch->count = 0;
  if (borrow_inputs(x, &batch->x) != 0) return -1;
  for (int i = 0; i < 2 && objects[i] != Py_None; i++) {
    if (borrow_tensor(objects[i], arguments[i], &batch->views[i], &batch->tensors[i]) != 0) {
      release_batch(batch);
      return -1;
    }
    batch->count++;
  }
  if (batch->count >= 1) return 0;
  release_batch(batch);
  PyErr_SetString(PyExc_TypeError, "x and y must be arrays");
  return -1;
}

static const scnn_tensor *sample_weights(const Batch *batch) {
  return batch->count == 2 ? &batch->tensors[1] : NULL;
}

static PyObject *tuple_of_integers(const int64_t *values, Py_ssize_t count) {
  PyObject *tuple = PyTuple_New(count);
  for (Py_ssize_t i = 0; tuple && i < count; i++) {
    PyObject *item = PyLong_FromLongLong(values[i]);
    if (!item || PyTuple_SetItem(tuple, i, item) != 0) Py_CLEAR(tuple);
  }
  return tuple;
}

static PyObject *tuple_of_floats(const double *values, Py_ssize_t count) {
  PyObject *tuple = PyTuple_New(count);
  for (Py_ssize_t i = 0; tuple && i < count; i++) {
    PyObject *item = PyFloat_FromDouble(values[i]);
    if (!item || PyTuple_SetItem(tuple, i, item) != 0) Py_CLEAR(tuple);
  }
  return tuple;
}

/* NumPy's name for an element type. */
static const char *dtype_name(int32_t dtype) {
  return dtype == SCNN_UINT8 ? "uint8" : dtype == SCNN_INT32 ? "int32" : "float32";
}

/* A copy of a tensor: its bytes, its dtype and its shape, or NULL. */
static PyObject *copied_tensor(const scnn_tensor *tensor) {
  Py_ssize_t length = tensor->dtype == SCNN_UINT8 ? 1 : 4;
  for (int axis = 0; axis < tensor->rank; axis++) length *= (Py_ssize_t)tensor->shape[axis];
  PyObject *bytes = PyByteArray_FromStringAndSize(tensor->data, length);
  PyObject *shape = bytes ? tuple_of_integers(tensor->shape, tensor->rank) : NULL;
  if (shape) return Py_BuildValue("(NsN)", bytes, dtype_name(tensor->dtype), shape);
  Py_XDECREF(bytes);
  return NULL;
}

/* Reads a sequence of integers into `values`; their number, or -1 with an exception. */
static int read_integers(PyObject *sequence, const char *argument, int64_t *values, int capacity) {
  Py_ssize_t count = PySequence_Size(sequence);
  if (count < 0) return -1;
  if (count > capacity) {
    PyErr_Format(PyExc_ValueError, "%s: expected at most %d numbers, got %zd", argument, capacity, count);
    return -1;
  }
  for (Py_ssize_t i = 0; i < count; i++) {
    PyObject *item = PySequence_GetItem(sequence, i);
    if (!item) return -1;
    values[i] = PyLong_AsLongLong(item);
    Py_DECREF(item);
    if (values[i] == -1 && PyErr_Occurred()) return -1;
  }
  return (int)count;
}

/* A function of the library that writes a text; `argument` is whatever the text depends on beside the handle. */
typedef scnn_status (*TextFunction)(void *handle, const char *argument, char *buffer, size_t capacity, size_t *length);

/* The whole text, however long: what another thread changes between asking the length and reading is asked again. */
static PyObject *read_text(TextFunction function, void *handle, const char *argument) {
  char *buffer = NULL;
  size_t capacity = 0, length = 0xffff; /* enough for nearly all, which are then made once */
  scnn_status status;
  do {
    capacity = length + 1;
    char *larger = capacity <= (size_t)PY_SSIZE_T_MAX ? PyMem_Realloc(buffer, capacity) : NULL;
    if (!larger) {
      PyMem_Free(buffer);
      return PyErr_NoMemory();
    }
    buffer = larger;
    UNLOCKED(status, function(handle, argument, buffer, capacity, &length));
  } while (status == SCNN_BUFFER_TOO_SMALL);
  PyObject *text = NULL;
  if (status == SCNN_OK) {
    text = PyUnicode_DecodeUTF8(buffer, (Py_ssize_t)length, "replace");
  } else {
    raise_status(status);
  }
  PyMem_Free(buffer);
  return text;
}

/* ------------------------------------------------------------------------------------------------------ the objects */

typedef struct {
  PyTypeObject *model, *fit, *measures, *graph, *picture, *folder, *batches, *borrowed;
} ModuleState;

typedef struct {
  PyObject_HEAD
  scnn_model *handle;
  PyObject *positions; /* of the parameters by name; NULL until it is asked for */
} Model;

typedef struct {
  PyObject_HEAD
  scnn_fit *handle; /* NULL once closed */
  PyObject *model;  /* kept alive, as are the arrays in `batch` */
  Batch batch;
  int running; /* a step is under way, perhaps on another thread */
} Fit;

typedef struct {
  PyObject_HEAD
  scnn_measures *handle;
} Measures;

typedef struct {
  PyObject_HEAD
  scnn_graph *handle;
} Graph;

typedef struct {
  PyObject_HEAD
  scnn_picture *handle;
  void *pixels;
  Py_ssize_t shape[3], strides[3];
} Picture;

typedef struct {
  PyObject_HEAD
  scnn_image_folder *handle;
} Folder;

typedef struct {
  PyObject_HEAD
  scnn_batches *handle;
} Batches;

static scnn_model *model_of(PyObject *self) { return ((Model *)self)->handle; }

/* Frees an object whose resources are gone; the type of a heap object is counted too. */
static void free_object(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
  release(self);
  Py_DECREF(type);
}

static PyObject *new_object(PyTypeObject *type) {
  allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
  return allocate(type, 0);
}

/* Wraps a handle, or frees it where that fails. */
static PyObject *wrap_model(const ModuleState *state, scnn_model *handle) {
  PyObject *object = new_object(state->model);
  if (object) {
    ((Model *)object)->handle = handle;
  } else {
    scnn_model_free(handle);
  }
  return object;
}

/* The types cannot be subclassed, so an object's type is the one that belongs to the module. */
static ModuleState *state_of(PyObject *self) { return PyType_GetModuleState(Py_TYPE(self)); }

static void model_dealloc(PyObject *self) {
  scnn_model_free(model_of(self));
  Py_XDECREF(((Model *)self)->positions);
  free_object(self);
}

/* -------------------------------------------------------------------------------------------- Model: files and looks */

static PyObject *model_save(PyObject *self, PyObject *args) {
  PyObject *path;
  const char *options;
  if (!PyArg_ParseTuple(args, "O&z:save", PyUnicode_FSConverter, &path, &options)) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_save_as(model_of(self), PyBytes_AsString(path), options));
  Py_DECREF(path);
  return none_or_raise(status);
}

static PyObject *model_save_memory(PyObject *self, PyObject *args) {
  int training_state;
  if (!PyArg_ParseTuple(args, "p:save_memory", &training_state)) return NULL;
  size_t length = 0;
  scnn_status status;
  UNLOCKED(status, scnn_model_save_memory(model_of(self), training_state, NULL, 0, &length));
  /* Once more where another thread has made it longer meanwhile. */
  while (status == SCNN_BUFFER_TOO_SMALL) {
    size_t capacity = length;
    if (capacity > PY_SSIZE_T_MAX) return PyErr_NoMemory();
    PyObject *contents = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)capacity);
    if (!contents) return NULL;
    char *buffer = PyBytes_AsString(contents);
    UNLOCKED(status, scnn_model_save_memory(model_of(self), training_state, buffer, capacity, &length));
    if (status == SCNN_OK && length == capacity) return contents;
    Py_DECREF(contents);
    if (status == SCNN_OK) status = SCNN_BUFFER_TOO_SMALL;
  }
  return raise_status(status);
}

static PyObject *model_load_weights(PyObject *self, PyObject *args) {
  PyObject *path;
  int strict;
  if (!PyArg_ParseTuple(args, "O&p:load_weights", PyUnicode_FSConverter, &path, &strict)) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_load_weights(model_of(self), PyBytes_AsString(path), strict));
  Py_DECREF(path);
  return none_or_raise(status);
}

static PyObject *model_save_weights(PyObject *self, PyObject *args) {
  PyObject *path;
  const char *options;
  if (!PyArg_ParseTuple(args, "O&z:save_weights", PyUnicode_FSConverter, &path, &options)) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_save_weights_as(model_of(self), PyBytes_AsString(path), options));
  Py_DECREF(path);
  return none_or_raise(status);
}

static PyObject *model_export_onnx(PyObject *self, PyObject *args) {
  PyObject *path;
  const char *options;
  if (!PyArg_ParseTuple(args, "O&z:export_onnx", PyUnicode_FSConverter, &path, &options)) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_export_onnx(model_of(self), PyBytes_AsString(path), options));
  Py_DECREF(path);
  return none_or_raise(status);
}

static PyObject *model_clone(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  scnn_model *copy = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_clone(model_of(self), &copy));
  return status == SCNN_OK ? wrap_model(state_of(self), copy) : raise_status(status);
}

/* A model that `make` makes of this one with images, or None. */
static PyObject *made_with_images(PyObject *self, PyObject *x_object, const char *options,
                                  scnn_status make(scnn_model *, const scnn_tensor *, const char *, scnn_model **)) {
  Inputs x;
  int has_images = x_object != Py_None;
  if (has_images && borrow_inputs(x_object, &x) != 0) return NULL;
  scnn_model *made = NULL;
  scnn_status status;
  UNLOCKED(status, make(model_of(self), has_images ? &x.tensor : NULL, options, &made));
  if (has_images) release_inputs(&x);
  return status == SCNN_OK ? wrap_model(state_of(self), made) : raise_status(status);
}

static PyObject *model_quantize(PyObject *self, PyObject *args) {
  PyObject *x_object;
  const char *options;
  if (!PyArg_ParseTuple(args, "Os:quantize", &x_object, &options)) return NULL;
  return made_with_images(self, x_object, options, scnn_quantize);
}

static PyObject *model_quantization_aware(PyObject *self, PyObject *args) {
  PyObject *x_object;
  const char *options;
  if (!PyArg_ParseTuple(args, "Os:quantization_aware", &x_object, &options)) return NULL;
  return made_with_images(self, x_object, options, scnn_quantization_aware);
}

static PyObject *model_distill(PyObject *self, PyObject *args) {
  PyObject *teacher;
  const char *options;
  if (!PyArg_ParseTuple(args, "O!s:distill", state_of(self)->model, &teacher, &options)) return NULL;
  scnn_model *learner = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_distill(model_of(self), model_of(teacher), options, &learner));
  return status == SCNN_OK ? wrap_model(state_of(self), learner) : raise_status(status);
}

/* Numbers of a sequence, to be freed by PyMem_Free; NULL with an exception where there are none. */
static double *numbers_of(PyObject *sequence, Py_ssize_t *count) {
  PyObject *items = PySequence_Tuple(sequence);
  if (items == NULL) return NULL;
  *count = PyTuple_Size(items);
  double *numbers = PyMem_New(double, *count + 1);
  if (numbers == NULL) PyErr_NoMemory();
  for (Py_ssize_t i = 0; numbers != NULL && i < *count; i++) {
    numbers[i] = PyFloat_AsDouble(PyTuple_GetItem(items, i));
    if (numbers[i] == -1 && PyErr_Occurred()) {
      PyMem_Free(numbers);
      numbers = NULL;
    }
  }
  Py_DECREF(items);
  return numbers;
}

static PyObject *model_compare_with_teacher(PyObject *self, PyObject *args) {
  PyObject *results_object, *others_object;
  Py_ssize_t count = 0, other_count = 0;
  if (!PyArg_ParseTuple(args, "OO:compare_with_teacher", &results_object, &others_object)) return NULL;
  double *results = numbers_of(results_object, &count);
  double *others = results == NULL ? NULL : numbers_of(others_object, &other_count);
  PyObject *result = NULL;
  if (others != NULL && count != other_count) {
    PyErr_Format(PyExc_ValueError, "%zd results of the student and %zd of the teacher; expected as many", count,
                 other_count);
  } else if (others != NULL) {
    scnn_status status;
    UNLOCKED(status, scnn_compare_with_teacher(model_of(self), results, others, (size_t)count));
    result = none_or_raise(status);
  }
  PyMem_Free(results);
  PyMem_Free(others);
  return result;
}

static PyObject *model_measured_teacher(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  scnn_model *teacher = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_measured_teacher(model_of(self), &teacher));
  return status == SCNN_OK ? wrap_model(state_of(self), teacher) : raise_status(status);
}


static PyObject *model_quantize_validated(PyObject *self, PyObject *args) {
  PyObject *calibration_object, *x_object, *y_object;
  const char *options;
  if (!PyArg_ParseTuple(args, "OOOs:quantize_validated", &calibration_object, &x_object, &y_object, &options)) return NULL;
  Inputs calibration;
  Batch validation;
  if (borrow_inputs(calibration_object, &calibration) != 0) return NULL;
  if (borrow_batch(&validation, x_object, y_object, Py_None) != 0) {
    release_inputs(&calibration);
    return NULL;
  }
  scnn_model *quantized = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_quantize_validated(model_of(self), &calibration.tensor, &validation.x.tensor,
                                           &validation.tensors[0], options, &quantized));
  release_batch(&validation);
  release_inputs(&calibration);
  return status == SCNN_OK ? wrap_model(state_of(self), quantized) : raise_status(status);
}

static PyObject *model_quantization_report(PyObject *self, PyObject *args) {
  PyObject *x_object, *reference = NULL;
  if (!PyArg_ParseTuple(args, "O|O!:quantization_report", &x_object, state_of(self)->model, &reference)) return NULL;
  Inputs x;
  int has_images = x_object != Py_None;
  if (has_images && borrow_inputs(x_object, &x) != 0) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_quantization_report(model_of(self), has_images ? &x.tensor : NULL,
                                                  reference ? model_of(reference) : NULL));
  if (has_images) release_inputs(&x);
  return none_or_raise(status);
}

static scnn_status quantization_report_text(void *model, const char *format, char *buffer, size_t capacity,
                                            size_t *length) {
  return scnn_model_quantization_report_text(model, format, buffer, capacity, length);
}

static PyObject *model_quantization_report_text(PyObject *self, PyObject *args) {
  const char *format;
  if (!PyArg_ParseTuple(args, "s:quantization_report_text", &format)) return NULL;
  return read_text(quantization_report_text, model_of(self), format);
}

static PyObject *model_sparsify(PyObject *self, PyObject *args) {
  const char *options;
  if (!PyArg_ParseTuple(args, "s:sparsify", &options)) return NULL;
  scnn_model *sparse = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_sparsify(model_of(self), options, &sparse));
  return status == SCNN_OK ? wrap_model(state_of(self), sparse) : raise_status(status);
}

static PyObject *model_set_sparsity(PyObject *self, PyObject *args) {
  const char *options;
  if (!PyArg_ParseTuple(args, "s:set_sparsity", &options)) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_set_sparsity(model_of(self), options));
  return none_or_raise(status);
}

static scnn_status sparsity_report(void *model, const char *format, char *buffer, size_t capacity, size_t *length) {
  return scnn_model_sparsity_report(model, format, buffer, capacity, length);
}

static PyObject *model_sparsity_report(PyObject *self, PyObject *args) {
  const char *format;
  if (!PyArg_ParseTuple(args, "s:sparsity_report", &format)) return NULL;
  return read_text(sparsity_report, model_of(self), format);
}

/* A pruned copy of a model, or None where the model itself is, by samples and their targets or None for both. */
static PyObject *prune(PyObject *self, PyObject *args, int in_place) {
  PyObject *x, *y;
  const char *options;
  Batch data;
  if (!PyArg_ParseTuple(args, "OOs:prune", &x, &y, &options)) return NULL;
  int has_data = x != Py_None || y != Py_None;
  if (has_data && borrow_batch(&data, x, y, Py_None) != 0) return NULL;
  const scnn_tensor *images = has_data ? &data.x.tensor : NULL, *targets = has_data ? &data.tensors[0] : NULL;
  scnn_model *pruned = NULL;
  scnn_status status;
  UNLOCKED(status, in_place ? scnn_model_prune(model_of(self), images, targets, options)
                            : scnn_prune(model_of(self), images, targets, options, &pruned));
  if (has_data) release_batch(&data);
  return in_place || status != SCNN_OK ? none_or_raise(status) : wrap_model(state_of(self), pruned);
}

static PyObject *model_pruned(PyObject *self, PyObject *args) { return prune(self, args, 0); }

static PyObject *model_prune(PyObject *self, PyObject *args) { return prune(self, args, 1); }

static scnn_status pruning_report_text(void *model, const char *format, char *buffer, size_t capacity, size_t *length) {
  return scnn_model_pruning_report(model, format, buffer, capacity, length);
}

static PyObject *model_pruning_report(PyObject *self, PyObject *args) {
  const char *format;
  if (!PyArg_ParseTuple(args, "s:pruning_report", &format)) return NULL;
  return read_text(pruning_report_text, model_of(self), format);
}

/* What a compression asks of a Python object, which has the interpreter meanwhile. */
typedef struct {
  const ModuleState *state;
  PyObject *data;
  Py_ssize_t samples;
} Compressed;

/* Ends a call of that object: an exception is raised when the library has returned. */
static scnn_status asked(PyObject *result) {
  Py_XDECREF(result);
  unlocked_state = PyEval_SaveThread();
  return result ? SCNN_OK : SCNN_INTERRUPTED;
}

static scnn_status compress_train(void *context, scnn_model *handle, size_t steps, double seconds) {
  const Compressed *compressed = context;
  PyEval_RestoreThread(unlocked_state);
  PyObject *model = wrap_model(compressed->state, handle);
  PyObject *result =
      model ? PyObject_CallMethod(compressed->data, "train", "Ond", model, (Py_ssize_t)steps, seconds) : NULL;
  Py_XDECREF(model);
  return asked(result);
}

static scnn_status compress_validate(void *context, scnn_model *handle, uint8_t *right) {
  const Compressed *compressed = context;
  PyEval_RestoreThread(unlocked_state);
  PyObject *model = wrap_model(compressed->state, handle);
  PyObject *result = model ? PyObject_CallMethod(compressed->data, "are_right", "O", model) : NULL;
  Py_XDECREF(model);
  char *bytes;
  Py_ssize_t size;
  if (result && PyBytes_AsStringAndSize(result, &bytes, &size) != 0) Py_CLEAR(result);
  if (result && size != compressed->samples) {
    PyErr_Format(PyExc_ValueError, "validation has %zd samples now and had %zd before; expected the same each time", size,
                 compressed->samples);
    Py_CLEAR(result);
  }
  if (result) memcpy(right, bytes, (size_t)size);
  return asked(result);
}

static scnn_status compress_begin(void *context, const char *stage) {
  const Compressed *compressed = context;
  PyEval_RestoreThread(unlocked_state);
  return asked(PyObject_CallMethod(compressed->data, "begin", "s", stage));
}

static PyObject *model_compress(PyObject *self, PyObject *args) {
  PyObject *calibration, *data;
  Py_ssize_t steps, samples;
  const char *options;
  Inputs images;
  if (!PyArg_ParseTuple(args, "OOnns:compress", &calibration, &data, &steps, &samples, &options)) return NULL;
  if (borrow_inputs(calibration, &images) != 0) return NULL;
  Compressed compressed = {state_of(self), data, samples};
  scnn_compression_data functions = {&compressed,    (size_t)steps,     (size_t)samples,
                                     compress_train, compress_validate, compress_begin};
  scnn_model *result = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_compress_with(model_of(self), &images.tensor, &functions, options, &result));
  release_inputs(&images);
  if (PyErr_Occurred()) {
    scnn_model_free(result);
    return NULL;
  }
  return status == SCNN_OK ? wrap_model(state_of(self), result) : raise_status(status);
}

static scnn_status compression_report_text(void *model, const char *format, char *buffer, size_t capacity,
                                           size_t *length) {
  return scnn_model_compression_report(model, format, buffer, capacity, length);
}

static PyObject *model_compression_report(PyObject *self, PyObject *args) {
  const char *format;
  if (!PyArg_ParseTuple(args, "s:compression_report", &format)) return NULL;
  return read_text(compression_report_text, model_of(self), format);
}

static PyObject *model_copy_state(PyObject *self, PyObject *args) {
  PyObject *other;
  if (!PyArg_ParseTuple(args, "O!:copy_state", state_of(self)->model, &other)) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_copy_state(model_of(self), model_of(other)));
  return none_or_raise(status);
}

static PyObject *model_set_metadata(PyObject *self, PyObject *args) {
  const char *key, *value;
  if (!PyArg_ParseTuple(args, "sz:set_metadata", &key, &value)) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_set_metadata(model_of(self), key, value));
  return none_or_raise(status);
}

static scnn_status metadata_text(void *model, const char *key, char *buffer, size_t capacity, size_t *length) {
  return scnn_model_metadata(model, key, buffer, capacity, length);
}

static PyObject *model_metadata(PyObject *self, PyObject *args) {
  const char *key;
  if (!PyArg_ParseTuple(args, "s:metadata", &key)) return NULL;
  return read_text(metadata_text, model_of(self), key);
}

static scnn_status name_text(void *model, const char *unused, char *buffer, size_t capacity, size_t *length) {
  (void)unused;
  return scnn_model_name(model, buffer, capacity, length);
}

static scnn_status summary_text(void *model, const char *unused, char *buffer, size_t capacity, size_t *length) {
  (void)unused;
  return scnn_model_summary(model, buffer, capacity, length);
}

static scnn_status fused_summary_text(void *model, const char *unused, char *buffer, size_t capacity,
                                      size_t *length) {
  (void)unused;
  return scnn_model_fused_summary(model, buffer, capacity, length);
}

static scnn_status feature_maps_text(void *model, const char *unused, char *buffer, size_t capacity, size_t *length) {
  (void)unused;
  return scnn_model_feature_maps(model, buffer, capacity, length);
}

static scnn_status drawn_text(void *model, const char *options, char *buffer, size_t capacity, size_t *length) {
  return scnn_model_draw(model, options, buffer, capacity, length);
}

static scnn_status weights_text(void *model, const char *unused, char *buffer, size_t capacity, size_t *length) {
  (void)unused;
  return scnn_model_weights_report(model, buffer, capacity, length);
}

static scnn_status import_text(void *model, const char *unused, char *buffer, size_t capacity, size_t *length) {
  (void)unused;
  return scnn_model_import_report(model, buffer, capacity, length);
}

static scnn_status profile_text(void *model, const char *format, char *buffer, size_t capacity, size_t *length) {
  return scnn_model_profile_text(model, format, buffer, capacity, length);
}

static scnn_status graph_text(void *model, const char *format, char *buffer, size_t capacity, size_t *length) {
  return scnn_model_graph(model, format, buffer, capacity, length);
}

static scnn_status tensor_text(void *model, const char *unused, char *buffer, size_t capacity, size_t *length) {
  (void)unused;
  return scnn_model_tensor_names(model, buffer, capacity, length);
}

static scnn_status output_text(void *model, const char *unused, char *buffer, size_t capacity, size_t *length) {
  (void)unused;
  return scnn_model_output_names(model, buffer, capacity, length);
}

static scnn_status settings_text(void *model, const char *unused, char *buffer, size_t capacity, size_t *length) {
  (void)unused;
  return scnn_training_settings(model, buffer, capacity, length);
}

static scnn_status progress_text(void *model, const char *unused, char *buffer, size_t capacity, size_t *length) {
  (void)unused;
  return scnn_training_progress(model, buffer, capacity, length);
}

static scnn_status notes_text(void *model, const char *unused, char *buffer, size_t capacity, size_t *length) {
  (void)unused;
  return scnn_training_notes(model, buffer, capacity, length);
}

static PyObject *model_name(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  return read_text(name_text, model_of(self), NULL);
}

static PyObject *model_summary(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  return read_text(summary_text, model_of(self), NULL);
}

static PyObject *model_weights_report(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  return read_text(weights_text, model_of(self), NULL);
}

static PyObject *model_import_report(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  return read_text(import_text, model_of(self), NULL);
}

static PyObject *model_fused_summary(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  return read_text(fused_summary_text, model_of(self), NULL);
}

static PyObject *model_feature_maps(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  return read_text(feature_maps_text, model_of(self), NULL);
}

static PyObject *model_draw(PyObject *self, PyObject *args) {
  const char *options;
  if (!PyArg_ParseTuple(args, "s:draw", &options)) return NULL;
  return read_text(drawn_text, model_of(self), options);
}

static PyObject *model_profile_text(PyObject *self, PyObject *args) {
  const char *format;
  if (!PyArg_ParseTuple(args, "s:profile_text", &format)) return NULL;
  return read_text(profile_text, model_of(self), format);
}

static PyObject *model_graph(PyObject *self, PyObject *args) {
  const char *format;
  if (!PyArg_ParseTuple(args, "s:graph", &format)) return NULL;
  return read_text(graph_text, model_of(self), format);
}

static PyObject *model_tensor_names(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  return read_text(tensor_text, model_of(self), NULL);
}

static PyObject *model_output_names(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  return read_text(output_text, model_of(self), NULL);
}

static PyObject *model_training_settings(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  return read_text(settings_text, model_of(self), NULL);
}

static PyObject *model_trained_steps(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  int64_t steps = 0;
  scnn_status status;
  UNLOCKED(status, scnn_trained_steps(model_of(self), &steps));
  return status == SCNN_OK ? PyLong_FromLongLong(steps) : raise_status(status);
}

static PyObject *model_training_progress(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  return read_text(progress_text, model_of(self), NULL);
}

static PyObject *model_set_training_notes(PyObject *self, PyObject *args) {
  const char *text;
  Py_buffer data;
  if (!PyArg_ParseTuple(args, "zy*:set_training_notes", &text, &data)) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_set_training_notes(model_of(self), text, data.buf, (size_t)data.len));
  PyBuffer_Release(&data);
  return none_or_raise(status);
}

static PyObject *model_training_notes(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  PyObject *text = read_text(notes_text, model_of(self), NULL);
  if (!text) return NULL;
  PyObject *data = NULL;
  size_t size = 0;
  scnn_status status;
  UNLOCKED(status, scnn_training_notes_data(model_of(self), NULL, 0, &size));
  /* Another thread may give it others meanwhile. */
  while (status == SCNN_BUFFER_TOO_SMALL && size <= (size_t)PY_SSIZE_T_MAX) {
    Py_XDECREF(data);
    data = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (!data) break;
    size_t capacity = size;
    UNLOCKED(status, scnn_training_notes_data(model_of(self), PyByteArray_AsString(data), capacity, &size));
  }
  if (status != SCNN_OK) {
    if (!PyErr_Occurred()) raise_status(status);
    Py_XDECREF(data);
    Py_DECREF(text);
    return NULL;
  }
  return data ? Py_BuildValue("(NN)", text, data)
              : Py_BuildValue("(NN)", text, PyByteArray_FromStringAndSize(NULL, 0));
}

/* The name and the shape of each input, and whether it takes pixels. */
static PyObject *model_inputs(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  size_t count = 0;
  scnn_status status;
  UNLOCKED(status, scnn_model_input_count(model_of(self), &count));
  if (status != SCNN_OK) return raise_status(status);
  PyObject *list = PyList_New(0);
  for (size_t i = 0; list && i < count; i++) {
    scnn_input input;
    UNLOCKED(status, scnn_model_input(model_of(self), i, &input));
    PyObject *shape = status == SCNN_OK ? tuple_of_integers(input.shape, input.rank) : raise_status(status);
    PyObject *row = shape ? Py_BuildValue("(sNN)", input.name, shape, PyBool_FromLong(input.pixels)) : NULL;
    if (!row || PyList_Append(list, row) != 0) Py_CLEAR(list);
    Py_XDECREF(row);
  }
  return list;
}

static PyObject *model_output_shape(PyObject *self, PyObject *args) {
  PyObject *shapes;
  const char *name;
  if (!PyArg_ParseTuple(args, "O!z:output_shape", &PyList_Type, &shapes, &name)) return NULL;
  Inputs x;
  if (list_inputs(&x, PyList_Size(shapes)) != 0) return NULL;
  for (Py_ssize_t i = 0; i < x.tensor.shape[0]; i++) {
    PyObject *shape = PyList_GetItem(shapes, i);
    x.tensors[i].rank = shape ? read_integers(shape, "shape", x.tensors[i].shape, SCNN_MAX_RANK) : -1;
    if (x.tensors[i].rank < 0) {
      release_inputs(&x);
      return NULL;
    }
  }
  int64_t output[SCNN_MAX_RANK];
  int32_t rank = 0;
  scnn_status status;
  UNLOCKED(status, scnn_model_output_shape(model_of(self), &x.tensor, name, output, &rank));
  release_inputs(&x);
  return status == SCNN_OK ? tuple_of_integers(output, rank) : raise_status(status);
}

static PyObject *model_tensor_shape(PyObject *self, PyObject *args) {
  const char *name;
  if (!PyArg_ParseTuple(args, "z:tensor_shape", &name)) return NULL;
  int64_t shape[SCNN_MAX_RANK];
  int32_t rank = 0;
  scnn_status status;
  UNLOCKED(status, scnn_model_tensor_shape(model_of(self), name, shape, &rank));
  return status == SCNN_OK ? tuple_of_integers(shape, rank) : raise_status(status);
}

static scnn_status preprocessing_text(void *model, const char *unused, char *buffer, size_t capacity,
                                      size_t *length) {
  (void)unused;
  return scnn_model_preprocessing(model, buffer, capacity, length);
}

static scnn_status class_text(void *model, const char *unused, char *buffer, size_t capacity, size_t *length) {
  (void)unused;
  return scnn_model_class_names(model, buffer, capacity, length);
}

static scnn_status model_warning_text(void *model, const char *argument, char *buffer, size_t capacity, size_t *length) {
  (void)argument;
  return scnn_model_warning(model, buffer, capacity, length);
}

static scnn_status precision_text(void *model, const char *unused, char *buffer, size_t capacity, size_t *length) {
  (void)unused;
  return scnn_model_get_precision(model, buffer, capacity, length);
}

static scnn_status layer_precisions_text(void *model, const char *unused, char *buffer, size_t capacity,
                                         size_t *length) {
  (void)unused;
  return scnn_model_layer_precisions(model, buffer, capacity, length);
}

static PyObject *model_get_precision(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  return read_text(precision_text, model_of(self), NULL);
}

static PyObject *model_set_precision(PyObject *self, PyObject *args) {
  const char *dtype;
  if (!PyArg_ParseTuple(args, "s:set_precision", &dtype)) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_set_precision(model_of(self), dtype));
  return none_or_raise(status);
}

static PyObject *model_layer_precisions(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  return read_text(layer_precisions_text, model_of(self), NULL);
}

static PyObject *model_warning(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  return read_text(model_warning_text, model_of(self), NULL);
}

static PyObject *model_preprocessing(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  return read_text(preprocessing_text, model_of(self), NULL);
}

static PyObject *model_set_preprocessing(PyObject *self, PyObject *args) {
  const char *options;
  if (!PyArg_ParseTuple(args, "s:set_preprocessing", &options)) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_set_preprocessing(model_of(self), options));
  return none_or_raise(status);
}

static PyObject *model_class_names(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  return read_text(class_text, model_of(self), NULL);
}

static PyObject *model_set_class_names(PyObject *self, PyObject *args) {
  const char *names;
  if (!PyArg_ParseTuple(args, "z:set_class_names", &names)) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_set_class_names(model_of(self), names));
  return none_or_raise(status);
}

/* ------------------------------------------------------------------------------------------------ Model: parameters */

/* The parameter at a position as (name, role, trainable, shape). */
static PyObject *parameter_row(PyObject *self, size_t index) {
  scnn_parameter parameter;
  scnn_status status;
  UNLOCKED(status, scnn_model_parameter(model_of(self), index, &parameter));
  if (status != SCNN_OK) return raise_status(status);
  PyObject *shape = tuple_of_integers(parameter.shape, parameter.rank);
  PyObject *trainable = PyBool_FromLong(parameter.trainable);
  /* "N" hands the references over, also where building fails. */
  return Py_BuildValue("(ssNN)", parameter.name, parameter.role, trainable, shape);
}

static PyObject *model_parameters(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  size_t count = 0;
  scnn_status status;
  UNLOCKED(status, scnn_model_parameter_count(model_of(self), &count));
  if (status != SCNN_OK) return raise_status(status);
  PyObject *list = PyList_New(0);
  for (size_t i = 0; list && i < count; i++) {
    PyObject *row = parameter_row(self, i);
    if (!row || PyList_Append(list, row) != 0) Py_CLEAR(list);
    Py_XDECREF(row);
  }
  return list;
}

/* The positions of a handle's parameters by name, which never change; borrowed. */
static PyObject *positions_of(PyObject *self) {
  Model *model = (Model *)self;
  if (model->positions) return model->positions;
  PyObject *rows = model_parameters(self, NULL), *positions = rows ? PyDict_New() : NULL;
  Py_ssize_t count = positions ? PyList_Size(rows) : 0;
  for (Py_ssize_t i = 0; positions && i < count; i++) {
    PyObject *position = PyLong_FromSsize_t(i);
    PyObject *name = PyTuple_GetItem(PyList_GetItem(rows, i), 0);
    if (!position || !name || PyDict_SetItem(positions, name, position) != 0) Py_CLEAR(positions);
    Py_XDECREF(position);
  }
  Py_XDECREF(rows);
  if (positions && !model->positions) {
    model->positions = positions;
  } else { /* another thread was faster, or it failed */
    Py_XDECREF(positions);
  }
  return positions ? model->positions : NULL;
}

static PyObject *model_parameter(PyObject *self, PyObject *args) {
  PyObject *name;
  if (!PyArg_ParseTuple(args, "U:parameter", &name)) return NULL;
  PyObject *positions = positions_of(self);
  PyObject *position = positions ? PyDict_GetItemWithError(positions, name) : NULL;
  if (position) return parameter_row(self, PyLong_AsSize_t(position));
  if (PyErr_Occurred()) return NULL;
  Py_RETURN_NONE;
}

static PyObject *model_get_parameter(PyObject *self, PyObject *args) {
  const char *name;
  PyObject *output;
  if (!PyArg_ParseTuple(args, "sO:get_parameter", &name, &output)) return NULL;
  Py_buffer view;
  size_t count;
  if (borrow_floats(output, "output", 1, &view, &count) != 0) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_get_parameter(model_of(self), name, view.buf, count));
  PyBuffer_Release(&view);
  return none_or_raise(status);
}

static PyObject *model_get_gradient(PyObject *self, PyObject *args) {
  const char *name;
  PyObject *output;
  if (!PyArg_ParseTuple(args, "sO:get_gradient", &name, &output)) return NULL;
  Py_buffer view;
  size_t count;
  if (borrow_floats(output, "output", 1, &view, &count) != 0) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_get_gradient(model_of(self), name, view.buf, count));
  PyBuffer_Release(&view);
  return none_or_raise(status);
}

static PyObject *model_set_parameter(PyObject *self, PyObject *args) {
  const char *name;
  PyObject *value;
  if (!PyArg_ParseTuple(args, "sO:set_parameter", &name, &value)) return NULL;
  Py_buffer view;
  size_t count;
  if (borrow_floats(value, "value", 0, &view, &count) != 0) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_set_parameter(model_of(self), name, view.buf, count));
  PyBuffer_Release(&view);
  return none_or_raise(status);
}

static PyObject *model_set_trainable(PyObject *self, PyObject *args) {
  const char *pattern;
  int trainable;
  if (!PyArg_ParseTuple(args, "sp:set_trainable", &pattern, &trainable)) return NULL;
  size_t matched = 0;
  scnn_status status;
  UNLOCKED(status, scnn_model_set_trainable(model_of(self), pattern, trainable, &matched));
  return status == SCNN_OK ? PyLong_FromSize_t(matched) : raise_status(status);
}

static PyObject *model_set_regularization(PyObject *self, PyObject *args) {
  const char *pattern;
  double l1, l2;
  if (!PyArg_ParseTuple(args, "sdd:set_regularization", &pattern, &l1, &l2)) return NULL;
  size_t matched = 0;
  scnn_status status;
  UNLOCKED(status, scnn_model_set_regularization(model_of(self), pattern, l1, l2, &matched));
  return status == SCNN_OK ? PyLong_FromSize_t(matched) : raise_status(status);
}

static PyObject *model_reset_classifier(PyObject *self, PyObject *args) {
  long long classes;
  unsigned long long seed;
  if (!PyArg_ParseTuple(args, "LK:reset_classifier", &classes, &seed)) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_reset_classifier(model_of(self), classes, seed));
  return none_or_raise(status);
}

/* ------------------------------------------------------------------------------------ Model: prediction and training */

/* What is borrowed for a prediction of several results. */
typedef struct {
  Py_ssize_t count; /* how many arrays and names are borrowed */
  Py_buffer *views;
  PyObject **names; /* as bytes */
  const char **tensors;
  float **outputs;
  size_t *sizes;
} Results;

static void release_results(Results *results) {
  while (results->count > 0) {
    results->count--;
    PyBuffer_Release(&results->views[results->count]);
    Py_DECREF(results->names[results->count]);
  }
  PyMem_Free(results->views);
  PyMem_Free(results->names);
  PyMem_Free(results->tensors);
  PyMem_Free(results->outputs);
  PyMem_Free(results->sizes);
}

/* Borrows the i-th name and array; 0, or -1 with an exception. */
static int borrow_result(Results *results, Py_ssize_t i, PyObject *names, PyObject *arrays) {
  PyObject *name = PySequence_GetItem(names, i), *array = name ? PySequence_GetItem(arrays, i) : NULL;
  PyObject *bytes = name && array ? PyUnicode_AsUTF8String(name) : NULL;
  int failed = !bytes || borrow_floats(array, "output", 1, &results->views[i], &results->sizes[i]) != 0;
  Py_XDECREF(name);
  Py_XDECREF(array); /* the buffer keeps it alive */
  if (failed) {
    Py_XDECREF(bytes);
    return -1;
  }
  results->names[i] = bytes;
  results->tensors[i] = PyBytes_AsString(bytes);
  results->outputs[i] = results->views[i].buf;
  results->count = i + 1;
  return 0;
}

static int borrow_results(Results *results, PyObject *names, PyObject *arrays) {
  memset(results, 0, sizeof *results);
  Py_ssize_t count = PySequence_Size(names);
  if (count < 0) return -1;
  if (PySequence_Size(arrays) != count) {
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "expected as many arrays as names");
    return -1;
  }
  size_t room = (size_t)count + 1;
  results->views = PyMem_Calloc(room, sizeof *results->views);
  results->names = PyMem_Calloc(room, sizeof *results->names);
  results->tensors = PyMem_Calloc(room, sizeof *results->tensors);
  results->outputs = PyMem_Calloc(room, sizeof *results->outputs);
  results->sizes = PyMem_Calloc(room, sizeof *results->sizes);
  if (!results->views || !results->names || !results->tensors || !results->outputs || !results->sizes) {
    PyErr_NoMemory();
  } else {
    Py_ssize_t i = 0;
    while (i < count && borrow_result(results, i, names, arrays) == 0) i++;
    if (i == count) return 0;
  }
  release_results(results);
  return -1;
}

static PyObject *model_predict(PyObject *self, PyObject *args) {
  PyObject *x_object, *names, *arrays;
  long long batch_size;
  if (!PyArg_ParseTuple(args, "OLOO:predict", &x_object, &batch_size, &names, &arrays)) return NULL;
  Inputs x;
  Results results;
  if (borrow_inputs(x_object, &x) != 0) return NULL;
  if (borrow_results(&results, names, arrays) != 0) {
    release_inputs(&x);
    return NULL;
  }
  scnn_status status;
  UNLOCKED(status, scnn_predict_many(model_of(self), &x.tensor, batch_size, results.tensors, results.outputs,
                                     results.sizes, (size_t)results.count));
  release_results(&results);
  release_inputs(&x);
  return check_computed(status) == 0 ? Py_NewRef(Py_None) : NULL;
}

static PyObject *model_profile(PyObject *self, PyObject *args) {
  PyObject *x_object;
  long long repeats;
  if (!PyArg_ParseTuple(args, "OL:profile", &x_object, &repeats)) return NULL;
  Inputs x;
  if (borrow_inputs(x_object, &x) != 0) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_profile(model_of(self), &x.tensor, repeats));
  release_inputs(&x);
  return none_or_raise(status);
}

static PyObject *model_profile_training(PyObject *self, PyObject *args) {
  PyObject *x, *y, *sample_weight;
  long long repeats;
  if (!PyArg_ParseTuple(args, "OOOL:profile_training", &x, &y, &sample_weight, &repeats)) return NULL;
  Batch batch;
  if (borrow_batch(&batch, x, y, sample_weight) != 0) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_profile_training(model_of(self), &batch.x.tensor, &batch.tensors[0],
                                               sample_weights(&batch), repeats));
  release_batch(&batch);
  return none_or_raise(status);
}

static PyObject *model_profile_synthetic(PyObject *self, PyObject *args) {
  const char *options;
  if (!PyArg_ParseTuple(args, "s:profile_synthetic", &options)) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_profile_synthetic(model_of(self), options));
  return none_or_raise(status);
}

static PyObject *model_compile(PyObject *self, PyObject *args) {
  const char *settings;
  if (!PyArg_ParseTuple(args, "s:compile", &settings)) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_compile(model_of(self), settings));
  return none_or_raise(status);
}

static int check_metric_count(int count) {
  if (count >= 0 && count <= SCNN_MAX_METRICS) return 0;
  PyErr_Format(PyExc_ValueError, "expected 0 to %d metrics, got %d", SCNN_MAX_METRICS, count);
  return -1;
}

static PyObject *model_train_on_batch(PyObject *self, PyObject *args) {
  PyObject *x, *y, *sample_weight;
  int count;
  if (!PyArg_ParseTuple(args, "OOOi:train_on_batch", &x, &y, &sample_weight, &count)) return NULL;
  Batch batch;
  if (check_metric_count(count) != 0 || borrow_batch(&batch, x, y, sample_weight) != 0) return NULL;
  double results[SCNN_MAX_METRICS] = {0};
  scnn_status status;
  UNLOCKED(status, scnn_train_on_batch(model_of(self), &batch.x.tensor, &batch.tensors[0], sample_weights(&batch),
                                       results, (size_t)count));
  release_batch(&batch);
  return check_computed(status) == 0 ? tuple_of_floats(results, count) : NULL;
}

static PyObject *model_get_learning_rate(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  double rate = 0;
  scnn_status status;
  UNLOCKED(status, scnn_get_learning_rate(model_of(self), &rate));
  return status == SCNN_OK ? PyFloat_FromDouble(rate) : raise_status(status);
}

static PyObject *model_set_learning_rate(PyObject *self, PyObject *args) {
  double rate;
  if (!PyArg_ParseTuple(args, "d:set_learning_rate", &rate)) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_set_learning_rate(model_of(self), rate));
  return none_or_raise(status);
}

static PyObject *model_swap_ema(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  scnn_status status;
  UNLOCKED(status, scnn_swap_ema(model_of(self)));
  return none_or_raise(status);
}

static PyObject *model_apply_ema(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  scnn_status status;
  UNLOCKED(status, scnn_apply_ema(model_of(self)));
  return none_or_raise(status);
}

/* -------------------------------------------------------------------------------------------------------------- Fit */

static PyObject *model_fit(PyObject *self, PyObject *args) {
  PyObject *x, *y, *sample_weight;
  const char *options;
  if (!PyArg_ParseTuple(args, "OOOs:fit", &x, &y, &sample_weight, &options)) return NULL;
  Fit *fit = (Fit *)new_object(state_of(self)->fit);
  if (!fit) return NULL;
  scnn_status status = SCNN_OK;
  int has_data = !Py_IsNone(x) || !Py_IsNone(y);
  if (!has_data || borrow_batch(&fit->batch, x, y, sample_weight) == 0) {
    fit->model = Py_NewRef(self);
    UNLOCKED(status, scnn_fit_begin(model_of(self), has_data ? &fit->batch.x.tensor : NULL,
                                    has_data ? &fit->batch.tensors[0] : NULL,
                                    has_data ? sample_weights(&fit->batch) : NULL, options, &fit->handle));
    if (status == SCNN_OK) return (PyObject *)fit;
    raise_status(status);
  }
  Py_DECREF(fit);
  return NULL;
}

/* Ends the run and lets go of the model and the arrays. */
static void end_fit(Fit *fit) {
  scnn_fit_free(fit->handle);
  fit->handle = NULL;
  release_batch(&fit->batch);
  Py_CLEAR(fit->model);
}

static void fit_dealloc(PyObject *self) {
  end_fit((Fit *)self);
  free_object(self);
}

static PyObject *fit_close(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  Fit *fit = (Fit *)self;
  if (fit->running) {
    PyErr_SetString(PyExc_RuntimeError, "the run cannot be closed while another thread makes a step");
    return NULL;
  }
  end_fit(fit);
  Py_RETURN_NONE;
}

/* Whether a step can be made now. */
static int fit_is_ready(const Fit *fit) {
  if (fit->handle && !fit->running) return 1;
  PyErr_SetString(PyExc_RuntimeError, fit->running ? "another thread makes a step" : "the run is closed");
  return 0;
}

static PyObject *fit_result(scnn_status status, const scnn_progress *progress) {
  if (check_computed(status) != 0) return NULL;
  PyObject *results = tuple_of_floats(progress->results, progress->metric_count);
  return results ? Py_BuildValue("(NN)", PyBool_FromLong(progress->epoch_ended), results) : NULL;
}

static PyObject *fit_step(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  Fit *fit = (Fit *)self;
  if (!fit_is_ready(fit)) return NULL;
  scnn_progress progress;
  scnn_status status;
  fit->running = 1;
  UNLOCKED(status, scnn_fit_step(fit->handle, &progress));
  fit->running = 0;
  return fit_result(status, &progress);
}

static PyObject *fit_on_batch(PyObject *self, PyObject *args) {
  Fit *fit = (Fit *)self;
  PyObject *x, *y, *sample_weight;
  if (!PyArg_ParseTuple(args, "OOO:on_batch", &x, &y, &sample_weight)) return NULL;
  Batch batch;
  if (!fit_is_ready(fit) || borrow_batch(&batch, x, y, sample_weight) != 0) return NULL;
  scnn_progress progress;
  scnn_status status;
  fit->running = 1;
  UNLOCKED(status, scnn_fit_on_batch(fit->handle, &batch.x.tensor, &batch.tensors[0], sample_weights(&batch),
                                     &progress));
  fit->running = 0;
  release_batch(&batch);
  return fit_result(status, &progress);
}

static PyObject *fit_end_epoch(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  Fit *fit = (Fit *)self;
  if (!fit_is_ready(fit)) return NULL;
  scnn_progress progress;
  return none_or_raise(scnn_fit_end_epoch(fit->handle, &progress));
}

/* --------------------------------------------------------------------------------------------------------- Measures */

/* Wraps a handle, or frees it where that fails. */
static PyObject *wrap_measures(const ModuleState *state, scnn_measures *handle) {
  PyObject *object = new_object(state->measures);
  if (object) {
    ((Measures *)object)->handle = handle;
  } else {
    scnn_measures_free(handle);
  }
  return object;
}

static scnn_measures *measures_of(PyObject *self) { return ((Measures *)self)->handle; }

static void measures_dealloc(PyObject *self) {
  scnn_measures_free(measures_of(self));
  free_object(self);
}

static PyObject *module_create_measures(PyObject *module, PyObject *args) {
  const char *settings;
  if (!PyArg_ParseTuple(args, "s:create_measures", &settings)) return NULL;
  scnn_measures *handle = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_measures_create(settings, &handle));
  return status == SCNN_OK ? wrap_measures(PyModule_GetState(module), handle) : raise_status(status);
}

static PyObject *model_measures(PyObject *self, PyObject *args) {
  int of_training;
  if (!PyArg_ParseTuple(args, "p:measures", &of_training)) return NULL;
  scnn_measures *handle = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_measures(model_of(self), of_training, &handle));
  return status == SCNN_OK ? wrap_measures(state_of(self), handle) : raise_status(status);
}

static PyObject *measures_add(PyObject *self, PyObject *args) {
  PyObject *y_true, *y_pred, *sample_weight;
  if (!PyArg_ParseTuple(args, "OOO:add", &y_true, &y_pred, &sample_weight)) return NULL;
  Batch batch;
  if (borrow_batch(&batch, y_pred, y_true, sample_weight) != 0) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_measures_add(measures_of(self), &batch.tensors[0], &batch.x.tensor, sample_weights(&batch)));
  release_batch(&batch);
  return none_or_raise(status);
}

static PyObject *measures_evaluate(PyObject *self, PyObject *args) {
  PyObject *model, *x, *y, *sample_weight;
  long long batch_size;
  int uses_ema;
  if (!PyArg_ParseTuple(args, "O!OOOLp:evaluate", state_of(self)->model, &model, &x, &y, &sample_weight, &batch_size,
                        &uses_ema))
    return NULL;
  Batch batch;
  if (borrow_batch(&batch, x, y, sample_weight) != 0) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_measures_evaluate(measures_of(self), model_of(model), &batch.x.tensor, &batch.tensors[0],
                                          sample_weights(&batch), batch_size, uses_ema));
  release_batch(&batch);
  return check_computed(status) == 0 ? Py_NewRef(Py_None) : NULL;
}

static PyObject *measures_reset(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  scnn_status status;
  UNLOCKED(status, scnn_measures_reset(measures_of(self)));
  return none_or_raise(status);
}

static PyObject *measures_values(PyObject *self, PyObject *args) {
  Py_ssize_t index;
  if (!PyArg_ParseTuple(args, "n:values", &index)) return NULL;
  int64_t shape[SCNN_MAX_RANK];
  int32_t rank = 0;
  double *values = NULL;
  size_t capacity = 0;
  scnn_status status;
  for (;;) {
    UNLOCKED(status, scnn_measures_values(measures_of(self), (size_t)index, values, capacity, shape, &rank));
    if (status != SCNN_BUFFER_TOO_SMALL) break;
    capacity = 1;
    for (int32_t axis = 0; axis < rank; axis++) capacity *= (size_t)shape[axis];
    double *larger = PyMem_Realloc(values, capacity * sizeof *values);
    if (!larger) {
      PyMem_Free(values);
      return PyErr_NoMemory();
    }
    values = larger;
  }
  PyObject *result = NULL;
  if (status == SCNN_OK) {
    Py_ssize_t count = 1;
    for (int32_t axis = 0; axis < rank; axis++) count *= (Py_ssize_t)shape[axis];
    PyObject *sizes = tuple_of_integers(shape, rank), *numbers = tuple_of_floats(values, count);
    if (sizes && numbers) result = PyTuple_Pack(2, numbers, sizes);
    Py_XDECREF(sizes);
    Py_XDECREF(numbers);
  } else {
    raise_status(status);
  }
  PyMem_Free(values);
  return result;
}

static PyObject *measures_batch(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  scnn_tensor y, p, weight;
  scnn_status status;
  UNLOCKED(status, scnn_measures_batch(measures_of(self), &y, &p, &weight));
  if (status != SCNN_OK) return raise_status(status);
  PyObject *parts = PyTuple_New(3);
  const scnn_tensor *tensors[] = {&y, &p, &weight};
  for (Py_ssize_t i = 0; parts && i < 3; i++) {
    PyObject *part = tensors[i]->data ? copied_tensor(tensors[i]) : Py_NewRef(Py_None);
    if (!part || PyTuple_SetItem(parts, i, part) != 0) Py_CLEAR(parts);
  }
  return parts;
}

static PyObject *module_measure_rows(PyObject *Py_UNUSED(module), PyObject *args) {
  const char *settings;
  PyObject *y_true, *y_pred, *rows;
  if (!PyArg_ParseTuple(args, "sOOO:measure_rows", &settings, &y_true, &y_pred, &rows)) return NULL;
  Batch batch;
  Py_buffer view;
  size_t count;
  if (borrow_batch(&batch, y_pred, y_true, Py_None) != 0) return NULL;
  if (borrow_floats(rows, "rows", 1, &view, &count) != 0) {
    release_batch(&batch);
    return NULL;
  }
  scnn_status status;
  UNLOCKED(status, scnn_measure_rows(settings, &batch.tensors[0], &batch.x.tensor, view.buf, count));
  PyBuffer_Release(&view);
  release_batch(&batch);
  return none_or_raise(status);
}

/* ---------------------------------------------------------------------------------------------------------- Picture */

/* Wraps a handle, or frees it where that fails. */
static PyObject *wrap_picture(const ModuleState *state, scnn_picture *handle) {
  Picture *picture = (Picture *)new_object(state->picture);
  if (!picture) {
    scnn_picture_free(handle);
    return NULL;
  }
  picture->handle = handle;
  scnn_tensor pixels;
  scnn_status status = scnn_picture_pixels(handle, &pixels);
  if (status != SCNN_OK) {
    Py_DECREF(picture);
    return raise_status(status);
  }
  picture->pixels = (void *)pixels.data;
  for (int axis = 0; axis < 3; axis++) picture->shape[axis] = (Py_ssize_t)pixels.shape[axis];
  picture->strides[2] = 1;
  picture->strides[1] = picture->shape[2];
  picture->strides[0] = picture->shape[1] * picture->shape[2];
  return (PyObject *)picture;
}

static void picture_dealloc(PyObject *self) {
  scnn_picture_free(((Picture *)self)->handle);
  free_object(self);
}

/* The pixels as uint8 (height, width, channels), which may be written to: nobody else has them. */
static int picture_buffer(PyObject *self, Py_buffer *view, int flags) {
  Picture *picture = (Picture *)self;
  Py_ssize_t length = picture->shape[0] * picture->strides[0];
  if (PyBuffer_FillInfo(view, self, picture->pixels, length, 0, flags) != 0) return -1;
  if (flags & PyBUF_ND) {
    view->ndim = 3;
    view->shape = picture->shape;
  }
  if ((flags & PyBUF_STRIDES) == PyBUF_STRIDES) view->strides = picture->strides;
  return 0;
}

static PyObject *picture_resize(PyObject *self, PyObject *args) {
  const char *options;
  if (!PyArg_ParseTuple(args, "s:resize", &options)) return NULL;
  scnn_picture *resized = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_picture_resize(((Picture *)self)->handle, options, &resized));
  return status == SCNN_OK ? wrap_picture(state_of(self), resized) : raise_status(status);
}

static PyObject *picture_adjust(PyObject *self, PyObject *args) {
  const char *operation, *options;
  if (!PyArg_ParseTuple(args, "ss:adjust", &operation, &options)) return NULL;
  scnn_picture *adjusted = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_picture_adjust(((Picture *)self)->handle, operation, options, &adjusted));
  return status == SCNN_OK ? wrap_picture(state_of(self), adjusted) : raise_status(status);
}

static PyObject *model_preprocess(PyObject *self, PyObject *args) {
  PyObject *picture;
  if (!PyArg_ParseTuple(args, "O!:preprocess", state_of(self)->picture, &picture)) return NULL;
  scnn_picture *prepared = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_preprocess(model_of(self), ((Picture *)picture)->handle, &prepared));
  return status == SCNN_OK ? wrap_picture(state_of(self), prepared) : raise_status(status);
}

/* ------------------------------------------------------------------------------------------------ pictures in folders */

static scnn_image_folder *folder_of(PyObject *self) { return ((Folder *)self)->handle; }

static PyObject *module_open_folder(PyObject *module, PyObject *args) {
  PyObject *path;
  const char *options;
  if (!PyArg_ParseTuple(args, "O&s:open_folder", PyUnicode_FSConverter, &path, &options)) return NULL;
  Folder *folder = (Folder *)new_object(((const ModuleState *)PyModule_GetState(module))->folder);
  scnn_status status = SCNN_OK;
  if (folder) UNLOCKED(status, scnn_image_folder_open(PyBytes_AsString(path), options, &folder->handle));
  Py_DECREF(path);
  if (status == SCNN_OK) return (PyObject *)folder;
  Py_DECREF(folder);
  return raise_status(status);
}

static void folder_dealloc(PyObject *self) {
  scnn_image_folder_free(folder_of(self));
  free_object(self);
}

static scnn_status folder_class_names_text(void *folder, const char *argument, char *buffer, size_t capacity,
                                           size_t *length) {
  (void)argument;
  return scnn_image_folder_class_names(folder, buffer, capacity, length);
}

static PyObject *folder_class_names(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  return read_text(folder_class_names_text, folder_of(self), NULL);
}

static PyObject *folder_count(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  size_t pictures = 0, batches = 0;
  scnn_status status = scnn_image_folder_count(folder_of(self), &pictures, &batches);
  if (status != SCNN_OK) return raise_status(status);
  return Py_BuildValue("(nn)", (Py_ssize_t)pictures, (Py_ssize_t)batches);
}

static PyObject *folder_labels(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  size_t count = 0;
  scnn_status status = scnn_image_folder_count(folder_of(self), &count, NULL);
  if (status != SCNN_OK) return raise_status(status);
  PyObject *bytes = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(count * sizeof(int32_t)));
  if (!bytes) return NULL;
  UNLOCKED(status, scnn_image_folder_labels(folder_of(self), (int32_t *)(void *)PyByteArray_AsString(bytes), count));
  if (status == SCNN_OK) return bytes;
  Py_DECREF(bytes);
  return raise_status(status);
}

/* The path whose number `argument` points to. */
static scnn_status folder_path_text(void *folder, const char *argument, char *buffer, size_t capacity, size_t *length) {
  return scnn_image_folder_path(folder, *(const size_t *)(const void *)argument, buffer, capacity, length);
}

static PyObject *folder_path(PyObject *self, PyObject *args) {
  Py_ssize_t index;
  if (!PyArg_ParseTuple(args, "n:path", &index)) return NULL;
  size_t picture = (size_t)index;
  return read_text(folder_path_text, folder_of(self), (const char *)&picture);
}

static PyObject *folder_begin_epoch(PyObject *self, PyObject *args) {
  long long epoch;
  if (!PyArg_ParseTuple(args, "L:begin_epoch", &epoch)) return NULL;
  Batches *batches = (Batches *)new_object(state_of(self)->batches);
  if (!batches) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_image_folder_begin_epoch(folder_of(self), epoch, &batches->handle));
  if (status == SCNN_OK) return (PyObject *)batches;
  Py_DECREF(batches);
  return raise_status(status);
}

/* Waits for the picture that each thread is at. */
static void batches_dealloc(PyObject *self) {
  scnn_batches *handle = ((Batches *)self)->handle;
  Py_BEGIN_ALLOW_THREADS
  scnn_batches_free(handle);
  Py_END_ALLOW_THREADS
  free_object(self);
}

/* The folder as a model reads it. */
static PyObject *model_image_folder(PyObject *self, PyObject *args) {
  PyObject *folder, *training;
  const char *purpose;
  PyTypeObject *type = state_of(self)->folder;
  if (!PyArg_ParseTuple(args, "O!sO:image_folder", type, &folder, &purpose, &training)) return NULL;
  if (training != Py_None && !Py_IS_TYPE(training, type)) {
    PyErr_SetString(PyExc_TypeError, "training must be a folder or None");
    return NULL;
  }
  Folder *arranged = (Folder *)new_object(type);
  if (!arranged) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_image_folder(model_of(self), folder_of(folder), purpose,
                                           training == Py_None ? NULL : folder_of(training), &arranged->handle));
  if (status == SCNN_OK) return (PyObject *)arranged;
  Py_DECREF(arranged);
  return raise_status(status);
}

static PyObject *model_integer_dtype(PyObject *self, PyObject *args) {
  long long minimum, maximum;
  if (!PyArg_ParseTuple(args, "LL:integer_dtype", &minimum, &maximum)) return NULL;
  int32_t dtype = 0;
  scnn_status status;
  UNLOCKED(status, scnn_model_integer_dtype(model_of(self), minimum, maximum, &dtype));
  return status == SCNN_OK ? PyUnicode_FromString(dtype_name(dtype)) : raise_status(status);
}

static PyObject *model_gives_logits(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  int32_t logits = 0;
  scnn_status status;
  UNLOCKED(status, scnn_model_gives_logits(model_of(self), &logits));
  return status == SCNN_OK ? PyBool_FromLong(logits) : raise_status(status);
}

/* Copies, since the tensors are valid until the next call alone, and arrays may be kept. */
static PyObject *batches_next(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  scnn_tensor x, y;
  scnn_status status;
  UNLOCKED(status, scnn_batches_next(((Batches *)self)->handle, &x, &y, NULL));
  if (status != SCNN_OK) return raise_status(status);
  if (!x.data) Py_RETURN_NONE;
  PyObject *pixels = copied_tensor(&x), *targets = pixels ? copied_tensor(&y) : NULL;
  if (targets) return Py_BuildValue("(NN)", pixels, targets);
  Py_XDECREF(pixels);
  return NULL;
}

static scnn_status batches_skipped_text(void *batches, const char *argument, char *buffer, size_t capacity,
                                        size_t *length) {
  (void)argument;
  return scnn_batches_skipped(batches, NULL, buffer, capacity, length);
}

static PyObject *batches_skipped(PyObject *self, PyObject *Py_UNUSED(ignored)) {
  size_t count = 0;
  scnn_batches *handle = ((Batches *)self)->handle;
  scnn_status status = scnn_batches_skipped(handle, &count, NULL, 0, NULL);
  if (status != SCNN_OK) return raise_status(status);
  PyObject *text = read_text(batches_skipped_text, handle, NULL);
  return text ? Py_BuildValue("(nN)", (Py_ssize_t)count, text) : NULL;
}

/* The classes of one sample as a list of (index, name, probability). */
static PyObject *list_of_classes(const scnn_class *classes, size_t count) {
  PyObject *list = PyList_New(0);
  for (size_t i = 0; list && i < count; i++) {
    PyObject *row = Py_BuildValue("(isd)", (int)classes[i].index, classes[i].name, (double)classes[i].probability);
    if (!row || PyList_Append(list, row) != 0) Py_CLEAR(list);
    Py_XDECREF(row);
  }
  return list;
}

static PyObject *model_classify(PyObject *self, PyObject *args) {
  PyObject *x_object;
  long long batch_size;
  Py_ssize_t top;
  if (!PyArg_ParseTuple(args, "OLn:classify", &x_object, &batch_size, &top)) return NULL;
  Py_buffer view;
  scnn_tensor x;
  if (borrow_tensor(x_object, "x", &view, &x) != 0) return NULL;
  size_t samples = x.rank > 0 ? (size_t)x.shape[0] : 0, count = 0;
  scnn_class *classes = NULL;
  if (top < 1) {
    PyErr_Format(PyExc_ValueError, "top is %zd: expected 1 or more", top);
  } else if (samples > (size_t)PY_SSIZE_T_MAX / sizeof *classes / (size_t)top ||
             !(classes = PyMem_Calloc(samples * (size_t)top + 1, sizeof *classes))) {
    PyErr_NoMemory();
  }
  PyObject *list = NULL;
  if (classes) {
    scnn_status status;
    UNLOCKED(status, scnn_classify(model_of(self), &x, batch_size, classes, (size_t)top, &count));
    list = status == SCNN_OK ? PyList_New(0) : raise_status(status);
  }
  for (size_t i = 0; list && i < samples; i++) {
    PyObject *row = list_of_classes(classes + i * (size_t)top, count);
    if (!row || PyList_Append(list, row) != 0) Py_CLEAR(list);
    Py_XDECREF(row);
  }
  PyMem_Free(classes);
  PyBuffer_Release(&view);
  return list;
}

/* ------------------------------------------------------------------------------------------------------------ Graph */

static scnn_graph *graph_of(PyObject *self) { return ((Graph *)self)->handle; }

static void graph_dealloc(PyObject *self) {
  scnn_graph_free(graph_of(self));
  free_object(self);
}

static PyObject *graph_input(PyObject *self, PyObject *args) {
  const char *name;
  PyObject *shape_object;
  if (!PyArg_ParseTuple(args, "zO:input", &name, &shape_object)) return NULL;
  int64_t shape[SCNN_MAX_RANK];
  int rank = read_integers(shape_object, "shape", shape, SCNN_MAX_RANK);
  if (rank < 0) return NULL;
  scnn_value value = 0;
  scnn_status status;
  UNLOCKED(status, scnn_graph_input(graph_of(self), name, shape, rank, &value));
  return status == SCNN_OK ? PyLong_FromLong(value) : raise_status(status);
}

/* Reads a sequence of values of a graph into memory that the caller frees with PyMem_Free; NULL with an exception. */
static scnn_value *read_operands(PyObject *sequence, Py_ssize_t *count) {
  *count = PySequence_Size(sequence);
  if (*count < 0) return NULL;
  scnn_value *operands = PyMem_Calloc((size_t)*count + 1, sizeof *operands);
  if (!operands) return (scnn_value *)PyErr_NoMemory();
  for (Py_ssize_t i = 0; i < *count; i++) {
    PyObject *item = PySequence_GetItem(sequence, i);
    long operand = item ? PyLong_AsLong(item) : -1;
    Py_XDECREF(item);
    if (!PyErr_Occurred() && (operand < INT32_MIN || operand > INT32_MAX)) {
      PyErr_Format(PyExc_ValueError, "operands: %ld is no value of a graph", operand);
    }
    if (PyErr_Occurred()) {
      PyMem_Free(operands);
      return NULL;
    }
    operands[i] = (scnn_value)operand;
  }
  return operands;
}

static PyObject *graph_layer(PyObject *self, PyObject *args) {
  const char *kind, *name, *options;
  PyObject *operand_sequence;
  if (!PyArg_ParseTuple(args, "szzO:layer", &kind, &name, &options, &operand_sequence)) return NULL;
  Py_ssize_t count;
  scnn_value *operands = read_operands(operand_sequence, &count);
  if (!operands) return NULL;
  scnn_value value = 0;
  scnn_status status;
  UNLOCKED(status, scnn_graph_layer(graph_of(self), kind, name, options, operands, (size_t)count, &value));
  PyMem_Free(operands);
  return status == SCNN_OK ? PyLong_FromLong(value) : raise_status(status);
}

static PyObject *graph_apply(PyObject *self, PyObject *args) {
  PyObject *model, *operand_sequence;
  const char *prefix, *tensor;
  int inference;
  if (!PyArg_ParseTuple(args, "O!zzpO:apply", state_of(self)->model, &model, &prefix, &tensor, &inference,
                        &operand_sequence)) {
    return NULL;
  }
  Py_ssize_t count;
  scnn_value *operands = read_operands(operand_sequence, &count);
  if (!operands) return NULL;
  scnn_value value = 0;
  scnn_status status;
  UNLOCKED(status, scnn_graph_apply_many(graph_of(self), model_of(model), prefix, tensor, inference, operands,
                                         (size_t)count, &value));
  PyMem_Free(operands);
  return status == SCNN_OK ? PyLong_FromLong(value) : raise_status(status);
}

static PyObject *graph_shape(PyObject *self, PyObject *args) {
  int value;
  if (!PyArg_ParseTuple(args, "i:shape", &value)) return NULL;
  int64_t shape[SCNN_MAX_RANK];
  int32_t rank = 0;
  scnn_status status;
  UNLOCKED(status, scnn_graph_shape(graph_of(self), value, shape, &rank));
  return status == SCNN_OK ? tuple_of_integers(shape, rank) : raise_status(status);
}

static PyObject *graph_output(PyObject *self, PyObject *args) {
  int value;
  if (!PyArg_ParseTuple(args, "i:output", &value)) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_graph_output(graph_of(self), value));
  return none_or_raise(status);
}

static PyObject *graph_model(PyObject *self, PyObject *args) {
  int output;
  const char *options;
  if (!PyArg_ParseTuple(args, "iz:model", &output, &options)) return NULL;
  scnn_model *model = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_graph_model(graph_of(self), output, options, &model));
  return status == SCNN_OK ? wrap_model(state_of(self), model) : raise_status(status);
}

/* -------------------------------------------------------------------------------------------- functions of the module */

static PyObject *module_version(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored)) {
  return PyUnicode_FromString(scnn_version());
}

static scnn_status models_text(void *unused, const char *pattern, char *buffer, size_t capacity, size_t *length) {
  (void)unused;
  return scnn_list_models(pattern, buffer, capacity, length);
}

static PyObject *module_list_models(PyObject *Py_UNUSED(module), PyObject *args) {
  const char *pattern;
  if (!PyArg_ParseTuple(args, "z:list_models", &pattern)) return NULL;
  return read_text(models_text, NULL, pattern);
}

static scnn_status description_text(void *unused, const char *none, char *buffer, size_t capacity, size_t *length) {
  (void)unused, (void)none;
  return scnn_describe(buffer, capacity, length);
}

static PyObject *module_describe(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored)) {
  return read_text(description_text, NULL, NULL);
}

static scnn_status format_text(void *path, const char *purpose, char *buffer, size_t capacity, size_t *length) {
  return scnn_file_format(path, purpose, buffer, capacity, length);
}

static PyObject *module_file_format(PyObject *Py_UNUSED(module), PyObject *args) {
  PyObject *path;
  const char *purpose;
  if (!PyArg_ParseTuple(args, "O&s:file_format", PyUnicode_FSConverter, &path, &purpose)) return NULL;
  PyObject *text = read_text(format_text, PyBytes_AsString(path), purpose);
  Py_DECREF(path);
  return text;
}

static PyObject *module_set_num_threads(PyObject *Py_UNUSED(module), PyObject *args) {
  int count;
  if (!PyArg_ParseTuple(args, "i:set_num_threads", &count)) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_set_num_threads(count));
  return none_or_raise(status);
}

static PyObject *module_get_num_threads(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored)) {
  return PyLong_FromLong(scnn_get_num_threads());
}

static PyObject *module_slow_reason(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored)) {
  return PyUnicode_FromString(scnn_slow_reason());
}

static scnn_status system_text(void *Py_UNUSED(handle), const char *format, char *buffer, size_t capacity,
                               size_t *length) {
  return scnn_system(format, buffer, capacity, length);
}

static PyObject *module_system(PyObject *Py_UNUSED(module), PyObject *args) {
  const char *format;
  if (!PyArg_ParseTuple(args, "s:system", &format)) return NULL;
  return read_text(system_text, NULL, format);
}

static PyObject *module_set_thread_pinning(PyObject *Py_UNUSED(module), PyObject *args) {
  int pinned;
  if (!PyArg_ParseTuple(args, "p:set_thread_pinning", &pinned)) return NULL;
  scnn_status status;
  UNLOCKED(status, scnn_set_thread_pinning(pinned));
  return none_or_raise(status);
}

static PyObject *module_create_model(PyObject *module, PyObject *args) {
  const char *name, *options;
  if (!PyArg_ParseTuple(args, "sz:create_model", &name, &options)) return NULL;
  scnn_model *model = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_create(name, options, &model));
  return status == SCNN_OK ? wrap_model(PyModule_GetState(module), model) : raise_status(status);
}

static PyObject *module_load_model(PyObject *module, PyObject *args) {
  PyObject *path;
  if (!PyArg_ParseTuple(args, "O&:load_model", PyUnicode_FSConverter, &path)) return NULL;
  scnn_model *model = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_load(PyBytes_AsString(path), &model));
  Py_DECREF(path);
  return status == SCNN_OK ? wrap_model(PyModule_GetState(module), model) : raise_status(status);
}

static PyObject *module_load_model_memory(PyObject *module, PyObject *args) {
  Py_buffer view;
  if (!PyArg_ParseTuple(args, "y*:load_model_memory", &view)) return NULL;
  scnn_model *model = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_load_memory(view.buf, (size_t)view.len, &model));
  PyBuffer_Release(&view);
  return status == SCNN_OK ? wrap_model(PyModule_GetState(module), model) : raise_status(status);
}

static scnn_status operations_text(void *Py_UNUSED(handle), const char *Py_UNUSED(argument), char *buffer,
                                   size_t capacity, size_t *length) {
  return scnn_onnx_operations(buffer, capacity, length);
}

static PyObject *module_onnx_operations(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored)) {
  return read_text(operations_text, NULL, NULL);
}

static PyObject *module_import_onnx(PyObject *module, PyObject *args) {
  PyObject *path;
  const char *options;
  if (!PyArg_ParseTuple(args, "O&z:import_onnx", PyUnicode_FSConverter, &path, &options)) return NULL;
  scnn_model *model = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_import_onnx(PyBytes_AsString(path), options, &model));
  Py_DECREF(path);
  return status == SCNN_OK ? wrap_model(PyModule_GetState(module), model) : raise_status(status);
}

static PyObject *module_import_onnx_bytes(PyObject *module, PyObject *args) {
  Py_buffer view;
  const char *options;
  if (!PyArg_ParseTuple(args, "y*z:import_onnx_bytes", &view, &options)) return NULL;
  scnn_model *model = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_import_onnx_bytes(view.buf, (size_t)view.len, options, &model));
  PyBuffer_Release(&view);
  return status == SCNN_OK ? wrap_model(PyModule_GetState(module), model) : raise_status(status);
}

static PyObject *module_model_from_graph(PyObject *module, PyObject *args) {
  const char *graph, *options;
  if (!PyArg_ParseTuple(args, "sz:model_from_graph", &graph, &options)) return NULL;
  scnn_model *model = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_model_from_graph(graph, options, &model));
  return status == SCNN_OK ? wrap_model(PyModule_GetState(module), model) : raise_status(status);
}

static scnn_status match_text(void *Py_UNUSED(handle), const char *layers, char *buffer, size_t capacity,
                              size_t *length) {
  return scnn_match_layers(layers, buffer, capacity, length);
}

static PyObject *module_match_layers(PyObject *Py_UNUSED(module), PyObject *args) {
  const char *layers;
  if (!PyArg_ParseTuple(args, "s:match_layers", &layers)) return NULL;
  return read_text(match_text, NULL, layers);
}

static scnn_status keras_text(void *Py_UNUSED(handle), const char *config, char *buffer, size_t capacity,
                              size_t *length) {
  return scnn_keras_network(config, buffer, capacity, length);
}

static PyObject *module_keras_network(PyObject *Py_UNUSED(module), PyObject *args) {
  const char *config;
  if (!PyArg_ParseTuple(args, "s:keras_network", &config)) return NULL;
  return read_text(keras_text, NULL, config);
}

static PyObject *module_initial_values(PyObject *Py_UNUSED(module), PyObject *args) {
  const char *initializer;
  unsigned long long seed;
  PyObject *values;
  if (!PyArg_ParseTuple(args, "sKO:initial_values", &initializer, &seed, &values)) return NULL;
  if (values == Py_None) return none_or_raise(scnn_initial_values(initializer, seed, NULL, 0, NULL, 0));
  Py_buffer view;
  size_t count;
  if (borrow_floats(values, "values", 1, &view, &count) != 0) return NULL;
  int64_t shape[SCNN_MAX_RANK];
  for (int axis = 0; axis < view.ndim && axis < SCNN_MAX_RANK; axis++) shape[axis] = view.shape[axis];
  scnn_status status;
  UNLOCKED(status, scnn_initial_values(initializer, seed, shape, view.ndim, view.buf, count));
  PyBuffer_Release(&view);
  return none_or_raise(status);
}

static PyObject *module_create_graph(PyObject *module, PyObject *Py_UNUSED(ignored)) {
  const ModuleState *state = PyModule_GetState(module);
  PyObject *graph = new_object(state->graph);
  if (!graph) return NULL;
  scnn_status status = scnn_graph_create(&((Graph *)graph)->handle);
  if (status == SCNN_OK) return graph;
  Py_DECREF(graph);
  return raise_status(status);
}

static PyObject *module_read_picture(PyObject *module, PyObject *args) {
  PyObject *path;
  int channels;
  if (!PyArg_ParseTuple(args, "O&i:read_picture", PyUnicode_FSConverter, &path, &channels)) return NULL;
  scnn_picture *picture = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_picture_read(PyBytes_AsString(path), channels, &picture));
  Py_DECREF(path);
  return status == SCNN_OK ? wrap_picture(PyModule_GetState(module), picture) : raise_status(status);
}

static PyObject *module_decode_picture(PyObject *module, PyObject *args) {
  PyObject *object;
  int channels;
  if (!PyArg_ParseTuple(args, "Oi:decode_picture", &object, &channels)) return NULL;
  Py_buffer view;
  if (PyObject_GetBuffer(object, &view, PyBUF_SIMPLE) != 0) return NULL;
  scnn_picture *picture = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_picture_decode(view.buf, (size_t)view.len, channels, &picture));
  PyBuffer_Release(&view);
  return status == SCNN_OK ? wrap_picture(PyModule_GetState(module), picture) : raise_status(status);
}

static PyObject *module_picture_from_pixels(PyObject *module, PyObject *args) {
  PyObject *array;
  if (!PyArg_ParseTuple(args, "O:picture_from_pixels", &array)) return NULL;
  Py_buffer view;
  scnn_tensor pixels;
  if (borrow_tensor(array, "pixels", &view, &pixels) != 0) return NULL;
  scnn_picture *picture = NULL;
  scnn_status status;
  UNLOCKED(status, scnn_picture_from_pixels(&pixels, &picture));
  PyBuffer_Release(&view);
  return status == SCNN_OK ? wrap_picture(PyModule_GetState(module), picture) : raise_status(status);
}

static PyObject *module_from_dlpack(PyObject *module, PyObject *args) {
  PyObject *capsule;
  int takes_bfloat16;
  if (!PyArg_ParseTuple(args, "Op:from_dlpack", &capsule, &takes_bfloat16)) return NULL;
  return dlpack_borrow(((const ModuleState *)PyModule_GetState(module))->borrowed, capsule, takes_bfloat16);
}

static PyObject *module_to_dlpack(PyObject *Py_UNUSED(module), PyObject *args) {
  PyObject *array;
  int versioned, copied;
  if (!PyArg_ParseTuple(args, "Opp:to_dlpack", &array, &versioned, &copied)) return NULL;
  return dlpack_lend(array, versioned, copied);
}

/* ------------------------------------------------------------------------------------------------------------ tables */

static PyMethodDef model_methods[] = {
    {"save", model_save, METH_VARARGS, "save(path, options)"},
    {"save_memory", model_save_memory, METH_VARARGS, "save_memory(training_state) -> bytes"},
    {"load_weights", model_load_weights, METH_VARARGS, "load_weights(path, strict)"},
    {"weights_report", model_weights_report, METH_NOARGS, "weights_report() -> str"},
    {"save_weights", model_save_weights, METH_VARARGS, "save_weights(path, options)"},
    {"import_report", model_import_report, METH_NOARGS, "import_report() -> str"},
    {"export_onnx", model_export_onnx, METH_VARARGS, "export_onnx(path, options)"},
    {"clone", model_clone, METH_NOARGS, "clone() -> Model"},
    {"quantize", model_quantize, METH_VARARGS, "quantize(calibration, options) -> Model"},
    {"quantization_aware", model_quantization_aware, METH_VARARGS, "quantization_aware(calibration, options) -> Model"},
    {"distill", model_distill, METH_VARARGS, "distill(teacher, options) -> Model"},
    {"measured_teacher", model_measured_teacher, METH_NOARGS, "measured_teacher() -> Model"},
    {"compare_with_teacher", model_compare_with_teacher, METH_VARARGS, "compare_with_teacher(results, teacher_results)"},
    {"quantize_validated", model_quantize_validated, METH_VARARGS,
     "quantize_validated(calibration, x, y, options) -> Model"},
    {"sparsify", model_sparsify, METH_VARARGS, "sparsify(options) -> Model"},
    {"set_sparsity", model_set_sparsity, METH_VARARGS, "set_sparsity(options)"},
    {"sparsity_report", model_sparsity_report, METH_VARARGS, "sparsity_report(format) -> str"},
    {"quantization_report", model_quantization_report, METH_VARARGS, "quantization_report(x, reference=...)"},
    {"quantization_report_text", model_quantization_report_text, METH_VARARGS,
     "quantization_report_text(format) -> str"},
    {"pruned", model_pruned, METH_VARARGS, "pruned(x, y, options) -> Model"},
    {"prune", model_prune, METH_VARARGS, "prune(x, y, options)"},
    {"compress", model_compress, METH_VARARGS, "compress(calibration, data, steps_per_epoch, samples, options) -> Model"},
    {"compression_report", model_compression_report, METH_VARARGS, "compression_report(format) -> str"},
    {"pruning_report", model_pruning_report, METH_VARARGS, "pruning_report(format) -> str"},
    {"copy_state", model_copy_state, METH_VARARGS, "copy_state(model)"},
    {"set_metadata", model_set_metadata, METH_VARARGS, "set_metadata(key, value or None)"},
    {"metadata", model_metadata, METH_VARARGS, "metadata(key) -> str, empty where there is none"},
    {"name", model_name, METH_NOARGS, "name() -> str"},
    {"summary", model_summary, METH_NOARGS, "summary() -> str"},
    {"fused_summary", model_fused_summary, METH_NOARGS, "fused_summary() -> str"},
    {"feature_maps", model_feature_maps, METH_NOARGS, "feature_maps() -> str, JSON"},
    {"profile", model_profile, METH_VARARGS, "profile(x, repeats)"},
    {"profile_training", model_profile_training, METH_VARARGS, "profile_training(x, y, sample_weight, repeats)"},
    {"profile_synthetic", model_profile_synthetic, METH_VARARGS, "profile_synthetic(options)"},
    {"profile_text", model_profile_text, METH_VARARGS, "profile_text(format) -> str"},
    {"graph", model_graph, METH_VARARGS, "graph(format) -> str"},
    {"draw", model_draw, METH_VARARGS, "draw(options) -> str, SVG"},
    {"tensor_names", model_tensor_names, METH_NOARGS, "tensor_names() -> str, one a line"},
    {"output_names", model_output_names, METH_NOARGS, "output_names() -> str, one a line"},
    {"training_settings", model_training_settings, METH_NOARGS, "training_settings() -> str, as compile takes it"},
    {"trained_steps", model_trained_steps, METH_NOARGS, "trained_steps() -> int"},
    {"training_progress", model_training_progress, METH_NOARGS, "training_progress() -> str, JSON"},
    {"set_training_notes", model_set_training_notes, METH_VARARGS, "set_training_notes(text or None, data)"},
    {"training_notes", model_training_notes, METH_NOARGS, "training_notes() -> (text, bytearray)"},
    {"inputs", model_inputs, METH_NOARGS, "inputs() -> list of (name, shape without the batch, whether it takes pixels)"},
    {"output_shape", model_output_shape, METH_VARARGS, "output_shape(list of shapes, tensor or None) -> tuple"},
    {"tensor_shape", model_tensor_shape, METH_VARARGS, "tensor_shape(tensor or None) -> tuple, -1 where it varies"},
    {"warning", model_warning, METH_NOARGS, "warning() -> str, what was noticed about the data"},
    {"integer_dtype", model_integer_dtype, METH_VARARGS, "integer_dtype(minimum, maximum) -> 'uint8' or 'float32'"},
    {"gives_logits", model_gives_logits, METH_NOARGS, "gives_logits() -> bool"},
    {"image_folder", model_image_folder, METH_VARARGS, "image_folder(folder, purpose, training or None) -> Folder"},
    {"get_precision", model_get_precision, METH_NOARGS, "get_precision() -> str"},
    {"set_precision", model_set_precision, METH_VARARGS, "set_precision(dtype)"},
    {"layer_precisions", model_layer_precisions, METH_NOARGS, "layer_precisions() -> str, JSON"},
    {"preprocessing", model_preprocessing, METH_NOARGS, "preprocessing() -> str, JSON"},
    {"set_preprocessing", model_set_preprocessing, METH_VARARGS, "set_preprocessing(options)"},
    {"preprocess", model_preprocess, METH_VARARGS, "preprocess(picture) -> Picture"},
    {"class_names", model_class_names, METH_NOARGS, "class_names() -> str, one a line"},
    {"set_class_names", model_set_class_names, METH_VARARGS, "set_class_names(one a line, or None)"},
    {"classify", model_classify, METH_VARARGS, "classify(x, batch_size, top) -> [[(index, name, probability)]]"},
    {"parameters", model_parameters, METH_NOARGS, "parameters() -> [(name, role, trainable, shape)]"},
    {"parameter", model_parameter, METH_VARARGS, "parameter(name) -> (name, role, trainable, shape) or None"},
    {"get_parameter", model_get_parameter, METH_VARARGS, "get_parameter(name, output)"},
    {"set_parameter", model_set_parameter, METH_VARARGS, "set_parameter(name, value)"},
    {"get_gradient", model_get_gradient, METH_VARARGS, "get_gradient(name, output)"},
    {"set_trainable", model_set_trainable, METH_VARARGS, "set_trainable(pattern, trainable) -> matched"},
    {"set_regularization", model_set_regularization, METH_VARARGS, "set_regularization(pattern, l1, l2) -> matched"},
    {"reset_classifier", model_reset_classifier, METH_VARARGS, "reset_classifier(classes, seed)"},
    {"predict", model_predict, METH_VARARGS, "predict(x, batch_size, [tensor], [output])"},
    {"compile", model_compile, METH_VARARGS, "compile(settings)"},
    {"train_on_batch", model_train_on_batch, METH_VARARGS, "train_on_batch(x, y, sample_weight, count) -> tuple"},
    {"measures", model_measures, METH_VARARGS, "measures(of_training) -> Measures"},
    {"get_learning_rate", model_get_learning_rate, METH_NOARGS, "get_learning_rate() -> float"},
    {"set_learning_rate", model_set_learning_rate, METH_VARARGS, "set_learning_rate(rate)"},
    {"swap_ema", model_swap_ema, METH_NOARGS, "swap_ema()"},
    {"apply_ema", model_apply_ema, METH_NOARGS, "apply_ema()"},
    {"fit", model_fit, METH_VARARGS, "fit(x, y, sample_weight, options) -> Fit; x and y may be None, for on_batch"},
    {NULL, NULL, 0, NULL}};

static PyMethodDef fit_methods[] = {
    {"step", fit_step, METH_NOARGS, "step() -> (epoch_ended, results)"},
    {"on_batch", fit_on_batch, METH_VARARGS, "on_batch(x, y, sample_weight) -> (epoch_ended, results)"},
    {"end_epoch", fit_end_epoch, METH_NOARGS, "end_epoch()"},
    {"close", fit_close, METH_NOARGS, "close()"},
    {NULL, NULL, 0, NULL}};

static PyMethodDef measures_methods[] = {
    {"add", measures_add, METH_VARARGS, "add(y_true, y_pred, sample_weight)"},
    {"evaluate", measures_evaluate, METH_VARARGS, "evaluate(model, x, y, sample_weight, batch_size, uses_ema)"},
    {"batch", measures_batch, METH_NOARGS, "batch() -> (y_true, y_pred, sample_weight or None), as of Batches.next"},
    {"reset", measures_reset, METH_NOARGS, "reset()"},
    {"values", measures_values, METH_VARARGS, "values(index) -> (numbers, shape)"},
    {NULL, NULL, 0, NULL}};

static PyMethodDef graph_methods[] = {
    {"input", graph_input, METH_VARARGS, "input(name, shape) -> value"},
    {"layer", graph_layer, METH_VARARGS, "layer(kind, name, options, operands) -> value"},
    {"apply", graph_apply, METH_VARARGS, "apply(model, prefix, tensor or None, inference, operand) -> value"},
    {"shape", graph_shape, METH_VARARGS, "shape(value) -> tuple"},
    {"output", graph_output, METH_VARARGS, "output(value)"},
    {"model", graph_model, METH_VARARGS, "model(output, options) -> Model"},
    {NULL, NULL, 0, NULL}};

static PyMethodDef picture_methods[] = {
    {"resize", picture_resize, METH_VARARGS, "resize(options) -> Picture"},
    {"adjust", picture_adjust, METH_VARARGS, "adjust(operation, options) -> Picture"},
    {NULL, NULL, 0, NULL}};

static PyMethodDef folder_methods[] = {
    {"class_names", folder_class_names, METH_NOARGS, "class_names() -> str, one a line"},
    {"count", folder_count, METH_NOARGS, "count() -> (pictures, batches)"},
    {"labels", folder_labels, METH_NOARGS, "labels() -> bytearray of int32"},
    {"path", folder_path, METH_VARARGS, "path(picture) -> str"},
    {"begin_epoch", folder_begin_epoch, METH_VARARGS, "begin_epoch(epoch) -> Batches"},
    {NULL, NULL, 0, NULL}};

static PyMethodDef batches_methods[] = {
    {"next", batches_next, METH_NOARGS, "next() -> ((bytearray, dtype, shape) of x, the same of y), or None at the end"},
    {"skipped", batches_skipped, METH_NOARGS, "skipped() -> (count, why the first was)"},
    {NULL, NULL, 0, NULL}};

static PyMethodDef module_functions[] = {
    {"version", module_version, METH_NOARGS, "version() -> str"},
    {"describe", module_describe, METH_NOARGS, "describe() -> str, JSON"},
    {"list_models", module_list_models, METH_VARARGS, "list_models(pattern or None) -> str, one a line"},
    {"file_format", module_file_format, METH_VARARGS, "file_format(path, purpose) -> str"},
    {"set_num_threads", module_set_num_threads, METH_VARARGS, "set_num_threads(count)"},
    {"get_num_threads", module_get_num_threads, METH_NOARGS, "get_num_threads() -> int"},
    {"slow_reason", module_slow_reason, METH_NOARGS, "slow_reason() -> str"},
    {"system", module_system, METH_VARARGS, "system(format) -> str"},
    {"set_thread_pinning", module_set_thread_pinning, METH_VARARGS, "set_thread_pinning(pinned)"},
    {"create_model", module_create_model, METH_VARARGS, "create_model(name, options or None) -> Model"},
    {"load_model", module_load_model, METH_VARARGS, "load_model(path) -> Model"},
    {"load_model_memory", module_load_model_memory, METH_VARARGS, "load_model_memory(bytes) -> Model"},
    {"import_onnx", module_import_onnx, METH_VARARGS, "import_onnx(path, options) -> Model"},
    {"import_onnx_bytes", module_import_onnx_bytes, METH_VARARGS, "import_onnx_bytes(bytes, options) -> Model"},
    {"onnx_operations", module_onnx_operations, METH_NOARGS, "onnx_operations() -> str, one a line"},
    {"model_from_graph", module_model_from_graph, METH_VARARGS, "model_from_graph(json, options or None) -> Model"},
    {"match_layers", module_match_layers, METH_VARARGS, "match_layers(layers) -> str, JSON"},
    {"keras_network", module_keras_network, METH_VARARGS, "keras_network(config) -> str, JSON"},
    {"initial_values", module_initial_values, METH_VARARGS, "initial_values(initializer, seed, output or None)"},
    {"create_graph", module_create_graph, METH_NOARGS, "create_graph() -> Graph"},
    {"create_measures", module_create_measures, METH_VARARGS, "create_measures(settings) -> Measures"},
    {"measure_rows", module_measure_rows, METH_VARARGS, "measure_rows(settings, y_true, y_pred, rows)"},
    {"read_picture", module_read_picture, METH_VARARGS, "read_picture(path, channels) -> Picture"},
    {"decode_picture", module_decode_picture, METH_VARARGS, "decode_picture(bytes, channels) -> Picture"},
    {"picture_from_pixels", module_picture_from_pixels, METH_VARARGS, "picture_from_pixels(array) -> Picture"},
    {"open_folder", module_open_folder, METH_VARARGS, "open_folder(path, options) -> Folder"},
    {"from_dlpack", module_from_dlpack, METH_VARARGS, "from_dlpack(capsule, takes_bfloat16) -> Borrowed"},
    {"to_dlpack", module_to_dlpack, METH_VARARGS, "to_dlpack(array, versioned, copied) -> capsule"},
    {NULL, NULL, 0, NULL}};

#define TYPE_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION)

static PyType_Slot model_slots[] = {
    {Py_tp_dealloc, model_dealloc}, {Py_tp_methods, model_methods}, {Py_tp_doc, "A model of the library."}, {0, NULL}};
static PyType_Slot fit_slots[] = {
    {Py_tp_dealloc, fit_dealloc}, {Py_tp_methods, fit_methods}, {Py_tp_doc, "A training run."}, {0, NULL}};
static PyType_Slot measures_slots[] = {{Py_tp_dealloc, measures_dealloc},
                                       {Py_tp_methods, measures_methods},
                                       {Py_tp_doc, "Sums of metrics."},
                                       {0, NULL}};
static PyType_Slot graph_slots[] = {
    {Py_tp_dealloc, graph_dealloc}, {Py_tp_methods, graph_methods}, {Py_tp_doc, "A network being built."}, {0, NULL}};
static PyType_Slot picture_slots[] = {{Py_tp_dealloc, picture_dealloc},
                                      {Py_tp_methods, picture_methods},
                                      {Py_bf_getbuffer, picture_buffer},
                                      {Py_tp_doc, "Pixels: a buffer of uint8 (height, width, channels)."},
                                      {0, NULL}};

static PyType_Slot folder_slots[] = {{Py_tp_dealloc, folder_dealloc},
                                     {Py_tp_methods, folder_methods},
                                     {Py_tp_doc, "A folder of pictures."},
                                     {0, NULL}};
static PyType_Slot batches_slots[] = {{Py_tp_dealloc, batches_dealloc},
                                      {Py_tp_methods, batches_methods},
                                      {Py_tp_doc, "An epoch of a folder of pictures."},
                                      {0, NULL}};

static PyType_Spec model_spec = {"swiftcnn._swiftcnn.Model", sizeof(Model), 0, TYPE_FLAGS, model_slots};
static PyType_Spec fit_spec = {"swiftcnn._swiftcnn.Fit", sizeof(Fit), 0, TYPE_FLAGS, fit_slots};
static PyType_Spec measures_spec = {"swiftcnn._swiftcnn.Measures", sizeof(Measures), 0, TYPE_FLAGS, measures_slots};
static PyType_Spec graph_spec = {"swiftcnn._swiftcnn.Graph", sizeof(Graph), 0, TYPE_FLAGS, graph_slots};
static PyType_Spec picture_spec = {"swiftcnn._swiftcnn.Picture", sizeof(Picture), 0, TYPE_FLAGS, picture_slots};

static PyType_Spec folder_spec = {"swiftcnn._swiftcnn.Folder", sizeof(Folder), 0, TYPE_FLAGS, folder_slots};
static PyType_Spec batches_spec = {"swiftcnn._swiftcnn.Batches", sizeof(Batches), 0, TYPE_FLAGS, batches_slots};

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec) {
  PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
  if (type && PyModule_AddType(module, type) != 0) Py_CLEAR(type);
  return type;
}

static int module_exec(PyObject *module) {
  ModuleState *state = PyModule_GetState(module);
  state->model = add_type(module, &model_spec);
  state->fit = state->model ? add_type(module, &fit_spec) : NULL;
  state->measures = state->fit ? add_type(module, &measures_spec) : NULL;
  state->graph = state->measures ? add_type(module, &graph_spec) : NULL;
  state->picture = state->graph ? add_type(module, &picture_spec) : NULL;
  state->folder = state->picture ? add_type(module, &folder_spec) : NULL;
  state->batches = state->folder ? add_type(module, &batches_spec) : NULL;
  state->borrowed = state->batches ? add_type(module, &dlpack_borrowed_spec) : NULL;
  scnn_set_interruption(is_interrupted);
  return state->borrowed ? PyModule_AddIntConstant(module, "MAX_METRICS", SCNN_MAX_METRICS) : -1;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
  ModuleState *state = PyModule_GetState(module);
  Py_VISIT(state->model);
  Py_VISIT(state->fit);
  Py_VISIT(state->measures);
  Py_VISIT(state->graph);
  Py_VISIT(state->picture);
  Py_VISIT(state->folder);
  Py_VISIT(state->batches);
  Py_VISIT(state->borrowed);
  return 0;
}

static int module_clear(PyObject *module) {
  ModuleState *state = PyModule_GetState(module);
  Py_CLEAR(state->model);
  Py_CLEAR(state->fit);
  Py_CLEAR(state->measures);
  Py_CLEAR(state->graph);
  Py_CLEAR(state->picture);
  Py_CLEAR(state->folder);
  Py_CLEAR(state->batches);
  Py_CLEAR(state->borrowed);
  return 0;
}

static void module_free(void *module) { module_clear(module); }

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module_definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_swiftcnn",
    .m_doc = "The C ABI of SwiftCNN.",
    .m_size = sizeof(ModuleState),
    .m_methods = module_functions,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__swiftcnn(void) { return PyModuleDef_Init(&module_definition); }

/*
 * What libswiftcnn.so and libswiftcnn_onnx.so say to each other. Each has a Swift runtime of its own inside, so nothing
 * but plain C goes between them: networks as the JSON of model files, values as pointers.
 *
 * It is no part of the public interface, and may change with every version: scnn_onnx_plugin_version tells them apart.
 */
#ifndef SWIFTCNN_ONNX_PLUGIN_H
#define SWIFTCNN_ONNX_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

enum { SCNN_ONNX_PLUGIN_VERSION = 2 };

/* What the plugin asks of the library. Texts and memory that either gives the other are valid until the call returns,
 * save those of `external`: until its next call. A callback that returns a status returns 0 for success. */
typedef struct scnn_onnx_host {
  void *context;
  /* Export: the values of a parameter, of which there are `*count`; NULL where there is none of that name. */
  const float *(*values)(void *context, const char *name, size_t *count);
  /* Export: takes the next bytes of the file. */
  int32_t (*write)(void *context, const void *bytes, size_t count);
  /* Import: bytes of a file beside the model; `length` -1 means all from `offset` on. `*message` says what went wrong. */
  int32_t (*external)(void *context, const char *location, int64_t offset, int64_t length, const void **bytes,
                      size_t *count, const char **message);
  /* Import: takes the network: {"graph": ..., "name": ..., "mean": [...], "std": [...], "report": {...}}, mean and std
   * perhaps null. */
  void (*network)(void *context, const char *json);
  /* Import: takes the values of a parameter. */
  void (*parameter)(void *context, const char *name, const float *values, size_t count);
  /* Takes the names of the operations that are read, one a line. */
  void (*names)(void *context, const char *names);
  /* Takes what went wrong, before a status other than 0 is returned. */
  void (*fail)(void *context, int32_t status, const char *message);
} scnn_onnx_host;

/* The functions of the plugin, by the types that the library looks them up with. */
typedef int32_t (*scnn_onnx_plugin_version_function)(void);
typedef int32_t (*scnn_onnx_plugin_export_function)(const char *request, const scnn_onnx_host *host);
typedef int32_t (*scnn_onnx_plugin_import_function)(const void *bytes, size_t count, const char *options,
                                                    const scnn_onnx_host *host);
typedef void (*scnn_onnx_plugin_names_function)(const scnn_onnx_host *host);

/* SCNN_ONNX_PLUGIN_VERSION of the header it was built with. */
int32_t scnn_onnx_plugin_version(void);

/* Writes a network: {"graph": ..., "options": ...}. */
int32_t scnn_onnx_plugin_export(const char *request, const scnn_onnx_host *host);

/* Reads a model. */
int32_t scnn_onnx_plugin_import(const void *bytes, size_t count, const char *options, const scnn_onnx_host *host);

/* Names the operations that are read. */
void scnn_onnx_plugin_names(const scnn_onnx_host *host);

#endif /* SWIFTCNN_ONNX_PLUGIN_H */

/*
 * SwiftCNN: train and run convolutional networks on ordinary CPUs.
 *
 *   scnn_model *model = NULL;
 *   if (scnn_model_load("m.safetensors", &model) != SCNN_OK) { puts(scnn_last_error()); return 1; }
 *   scnn_tensor x = {.data = pixels, .dtype = SCNN_UINT8, .rank = 4, .shape = {1, 28, 28, 1}};
 *   float probabilities[10];
 *   scnn_predict(model, &x, 32, NULL, probabilities, 10);
 *   scnn_model_free(model);
 *
 * Rules that hold for every function:
 * - It returns SCNN_OK (0), or a status from the list below and leaves a sentence in scnn_last_error().
 * - No argument and no file ends the process. A NULL where a pointer is needed, and a handle that was never made or is
 *   already freed, give SCNN_INVALID_ARGUMENT.
 * - Memory that an argument or a file sizes and that cannot be had gives SCNN_OUT_OF_MEMORY. So does, under a limit of
 *   address space (ulimit -v), a call that would begin with less than 32 MiB left, which is more than calls allocate in
 *   passing; only where another thread takes that away while a call is at work can the process end.
 * - Images are NHWC. uint8 tensors are pixels: divided by 255, then normalised with the model's own mean and standard
 *   deviation, as (pixel / 255 - mean) / deviation. So are int32 tensors, which must be from 0 to 255 then (where mean
 *   and deviation leave pixels as they are, any integers will do). float32 tensors are taken as they stand; where they
 *   look as if they should not be, scnn_model_warning says so.
 * - Calls on different models may run at the same time. Two threads may call scnn_predict with one model at the same
 *   time; whatever changes a model (training, loading, setting) must have it alone, and is made to wait otherwise.
 * - A process may fork while other threads are in the library, and the child may make any call. What other threads were
 *   reading, such as a model that predicts, is as good there as in the parent. What they were changing (a model that is
 *   trained, loaded into or set; a graph, run or epoch under way) is not whole there: its calls give SCNN_INVALID_STATE and
 *   a message that says so, it can only be freed, and the child makes or loads another. Threads are not copied: a child
 *   computes on threads of its own. This holds once each function that other threads are in has returned once in the
 *   process, or another of its kind: the first call makes tables that a fork must not fall into.
 * - Options are JSON objects, as {"classes": 10}; NULL means all defaults. A key that is not listed is an error. In the
 *   lists below the value after a key is its default.
 * - Texts are written to `buffer` with a closing NUL; `*length` (may be NULL) becomes the length without it. Where
 *   `capacity` is too small nothing is written and the status is SCNN_BUFFER_TOO_SMALL: ask with (NULL, 0) first.
 */
#ifndef SWIFTCNN_H
#define SWIFTCNN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------ status, threads */

typedef int32_t scnn_status;

enum {
  SCNN_OK = 0,
  SCNN_INVALID_ARGUMENT = 1, /* an argument is outside its domain */
  SCNN_SHAPE_MISMATCH = 2,   /* a shape or element type does not fit */
  SCNN_UNKNOWN_NAME = 3,     /* no such model, layer, parameter, optimizer...; the message suggests the nearest */
  SCNN_OUT_OF_MEMORY = 4,    /* a size overflows or memory cannot be had */
  SCNN_IO = 5,               /* the operating system refused to read or write; errno is its number for why */
  SCNN_MALFORMED_FILE = 6,   /* a file is not what its format says */
  SCNN_NOT_FINITE = 7,       /* training produced NaN or infinity; the message says at which step */
  SCNN_INVALID_STATE = 8,    /* not possible now, as training before scnn_compile */
  SCNN_INTERNAL = 9,         /* a fault of the library */
  SCNN_BUFFER_TOO_SMALL = 10, /* the text or array does not fit; *length says what is needed */
  SCNN_INTERRUPTED = 11       /* the function of scnn_set_interruption asked for the call's end */
};

/* The message of this thread's last failed call; "" where there was none. Valid until the thread's next call. */
const char *scnn_last_error(void);

/* The library's version, as "0.1.0". */
const char *scnn_version(void);

/* How many threads a computation is divided over, for models used from now on. At least 1, at most 1024. The default is
 * the processors this process may use (affinity mask and control-group quota). The same number gives the same bits. */
scnn_status scnn_set_num_threads(int32_t count);
int32_t scnn_get_num_threads(void);

/* Whether worker threads are bound to one processor each (the default; 0 turns it off). Where they have to wait there for
 * other processes they are let go for a while. */
scnn_status scnn_set_thread_pinning(int32_t pinned);

/* A function that predictions, evaluations and profiles call now and then between two parts of their work, at most twenty
 * times a second and in the thread of the call: where it returns other than 0 the call ends with SCNN_INTERRUPTED. It may
 * look at a flag that a signal handler sets; it must not call this library. NULL (the default): none. */
scnn_status scnn_set_interruption(int32_t (*is_wanted)(void));

/* Why computations are many times slower in this process than they could be, and what to do: where the system gives no
 * executable memory for the code that is made for a model. "" where it does, and before anything is computed. */
const char *scnn_slow_reason(void);

/* What this process computes with, and what stands in the way of it. `format`: "text" (a table) or "json":
 *   "version", "file"                    of this library
 *   "processor", "features", "caches"    its name, "" where not known; which of "avx2", "fma", "f16c", "avx_vnni",
 *                                        "avx512", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8" and "amx_bf16" it
 *                                        has; bytes of its three data caches
 *   "instruction_set"                    of the kernels: "amx", "avx512_bf16", "avx512_vnni", "avx512", "avx_vnni", "avx2"
 *                                        or "portable", each with those after it; SWIFTCNN_ISA limits it
 *   "tiles", "tile_refusal"              whether they use tiles (AMX); why the system refuses those that they would use, or
 *                                        null
 *   "threads", "thread_pinning"          as set, or as they are by default
 *   "executable_memory"                  whether the system grants memory for generated code
 *   "libraries"                          "OpenBLAS", "JPEG", "PNG" and "ONNX": which was found, or null
 *   "problems"                           what makes computations slow or fail, and what to do: a sentence each
 * A library that is merely not there is no problem. Those that are there are opened. */
scnn_status scnn_system(const char *format, char *buffer, size_t capacity, size_t *length);

/* ---------------------------------------------------------------------------------------------------------- tensors */

enum { SCNN_FLOAT32 = 0, SCNN_INT32 = 1, SCNN_UINT8 = 2, SCNN_TENSORS = 3 };

enum { SCNN_MAX_RANK = 8 };

/* A dense array, row-major, that the caller owns. */
typedef struct scnn_tensor {
  const void *data;
  int32_t dtype;                /* SCNN_FLOAT32, SCNN_INT32 or SCNN_UINT8; or SCNN_TENSORS, see below */
  int32_t rank;                 /* the number of axes, 0 to SCNN_MAX_RANK */
  int64_t shape[SCNN_MAX_RANK]; /* the first `rank` are used */
} scnn_tensor;

/* A model with several inputs takes a list of tensors wherever a function takes `x`: one for each input, in the order of
 * scnn_model_input, all with the same number of samples:
 *
 *   scnn_tensor inputs[2] = {{.data = pixels, .dtype = SCNN_UINT8, .rank = 4, .shape = {n, 64, 64, 3}},
 *                            {.data = numbers, .dtype = SCNN_FLOAT32, .rank = 2, .shape = {n, 18}}};
 *   scnn_tensor x = {.data = inputs, .dtype = SCNN_TENSORS, .rank = 1, .shape = {2}};
 *   scnn_predict(model, &x, 32, NULL, output, count);
 *
 * Pixels are then for images [N, height, width, channels] with as many channels as the model's mean and standard
 * deviation, which are those of the first image; other images are float32. Integers for inputs that are no images become
 * float32 as they stand. Another number of tensors than of inputs is SCNN_INVALID_ARGUMENT, other shapes or numbers of
 * samples, or integers for another image, SCNN_SHAPE_MISMATCH; the message names the input. */

/* What there is by name, with its options: a JSON object made of what the functions themselves read.
 *   "layers": kinds of scnn_graph_layer; "activations": functions of its "activation"; "losses", "metrics", "optimizers",
 *       "schedules" of scnn_compile; "initializers" of scnn_initial_values; "distillation_losses", "losses" of scnn_distill:
 *       objects by name of {"doc": text, "options": options}
 *   "compile", "fit", "model", "stage" (of "stages" of "model"), "graph_model", "model_file", "weights_file",
 *       "preprocessing", "image_folder", "quantization", "quantization_aware", "pruning", "sparsity", "distillation",
 *       "compression", "drawing", "profile": options of scnn_compile, scnn_fit_begin, scnn_model_create, scnn_graph_model, scnn_model_save_as,
 *       scnn_model_save_weights_as, scnn_model_set_preprocessing, scnn_image_folder_open, scnn_quantize,
 *       scnn_quantization_aware, scnn_prune, scnn_sparsify, scnn_distill, scnn_compress, scnn_model_draw and
 *       scnn_model_profile_synthetic
 *   "picture_operations": names
 * where options are an object by key of
 *   "type"      "integer", "number", "flag", "text", "choice" (a text that is one of "choices"), "choice or integer",
 *               "integers", "numbers", "texts", "object", "list"; "size" (pixels, or [height, width]), "sizes" (whole numbers and null),
 *               "range" (two numbers), "probability" (a number, or true for 0.5), "padding" ("same", or [top, left,
 *               bottom, right]), "part" (true, false or an object of "options"), "named" (one of "choices", or an object
 *               with a "name" and options of its own), "list of named"
 *   "default"   what it is where nothing is said; null: nothing, or what "doc" says
 *   "keras"     what Keras has where nothing is said, and the Python package, where that is something else
 *   "needed"    true where it has to be given; else missing
 *   "nullable"  true where null is not the same as leaving it out; else missing
 *   "minimum", "maximum", or "exclusive_minimum", "exclusive_maximum" where the end itself is outside, and "expected",
 *               the same in words; missing where any number will do
 *   "choices", "options", "doc": as above; missing where there are none */
scnn_status scnn_describe(char *buffer, size_t capacity, size_t *length);

/* ----------------------------------------------------------------------------------------------------------- models */

typedef struct scnn_model scnn_model;

/* The names of the models that can be built, one a line, sorted. `pattern` has * and ?, as in "resnet*"; NULL: all. */
scnn_status scnn_list_models(const char *pattern, char *buffer, size_t capacity, size_t *length);

/* Builds a model by name. Case, - and _ do not count: "EfficientNet-B0" is "efficientnet_b0". With a tag of timm's, as
 * "resnet50.a1_in1k" or "hf-hub:timm/resnet50.a1_in1k", pictures are prepared as for the weights that it names; where
 * those are not given, scnn_model_warning says where they are. Options:
 *   "input_shape": [height, width, channels]    null for a height or width that may be another at every
 *                                               call; by default the published resolution and 3 channels
 *   "classes": 1000
 *   "include_top": true                         without it the model ends with the last feature map
 *   "pooling": null                             "avg" or "max", applied where include_top is false
 *   "features_only": false                      ends with a feature map for each resolution, finest first, in place of a
 *                                               classifier: see scnn_model_feature_maps
 *   "out_indices": null                         which of these maps, as [1, 2, -1]; by default all
 *   "classifier_activation": "softmax"          or "sigmoid"; null gives logits
 *   "dropout": null, "drop_path": null          rates from 0 to 1, before the classifier and of
 *                                               stochastic depth; null is the model's own
 *   "weights": null                             path of a file as scnn_model_load_weights takes it, strictly; a
 *                                               classifier for another number of classes begins at random
 *   "seed": 0                                   of the random initial values
 *   "mean": [...], "std": [...]                 of the pixels, one per channel, in units of the full range 0...1; by
 *                                               default the model's own, or where there are not 3 channels 0 and 1
 *   "preprocessing": null                       what is done to pictures, as scnn_model_set_preprocessing takes it; by
 *                                               default as it was published, or to fill another input in the same ratio
 *   "class_names": null                         a list of texts; by default ImageNet's where there are 1000 classes
 *   "dtype": "float32"                          what is computed in, as scnn_model_set_precision takes it
 *   and to make another size of it (Tan and Le 2019, section 3.3):
 *   "width_coefficient": 1                      multiplies the numbers of channels,
 *   "depth_coefficient": 1                      the numbers of blocks,
 *   "resolution_coefficient": 1                 and the published resolution, each beside the model's own coefficient
 *   "compound_coefficient": null                in place of the three: 1.1, 1.2 and 1.15 to the power of this
 *   "divisor": 8                                scaled numbers of channels are multiples of this
 *   "stages": null                              another table of stages. For a ResNet the numbers of blocks, as
 *                                               [2, 2, 2, 2]; for an EfficientNet an object a stage, as
 *                                               {"kind": "mbconv", "kernel": 3, "stride": 2, "expand_ratio": 6,
 *                                               "channels": 24, "repeats": 2}, all needed. The other kind is
 *                                               "fused_mbconv"; "se_ratio": 0 is squeeze-and-excitation's share
 *                                               of the block's input channels, "input_channels": null the stem's
 *                                               channels (of other stages, what the stage before has) */
scnn_status scnn_model_create(const char *name, const char *options, scnn_model **model);

/* Reads a model file: the network, its parameters and, where they were saved too, its training settings and state. A file
 * whose name ends in .onnx is read as scnn_model_import_onnx does without options. Of a file of another kind (PyTorch's or
 * Keras's weights, a picture, an archive, a Git LFS pointer...) the message of SCNN_MALFORMED_FILE says what it is and what
 * to do with it. */
scnn_status scnn_model_load(const char *path, scnn_model **model);

/* Writes a model file (safetensors with the network in its metadata). The file appears whole or not at all. With
 * `training_state` not 0 it is a checkpoint, from which training goes on in the same bits. Without it, a path that ends in
 * .onnx is written as scnn_model_export_onnx does it. A path that ends as files of another format do (.pth, .h5, .keras,
 * .tflite, ...) is SCNN_INVALID_ARGUMENT with the call that writes such a file, if there is one. */
scnn_status scnn_model_save(scnn_model *model, const char *path, int32_t training_state);

/* As scnn_model_save, with options:
 *   "training_state": false
 *   "dtype": "float32"      what the file has of the parameters, running means and variances included. "bfloat16": each is
 *                           rounded to the nearest (halves to even), the file has half the size, and any safetensors
 *                           reader sees tensors of BF16. The model stays as it is; what is loaded from the file has
 *                           float32 parameters with exactly the rounded values. A training state goes with "float32"
 *                           alone, since training could not go on in the same bits, and so does a path that ends in .onnx:
 *                           else the status is SCNN_INVALID_ARGUMENT */
scnn_status scnn_model_save_as(scnn_model *model, const char *path, const char *options);

/* The same contents in memory, to be sent, stored or copied: scnn_model_save_memory writes them to `buffer`, and `*length`
 * (may be NULL) becomes how many bytes they are. Where `capacity` is smaller nothing is written and the status is
 * SCNN_BUFFER_TOO_SMALL: ask with (NULL, 0) first. scnn_model_load_memory makes a model of such bytes, which are read until
 * the call returns; of other bytes the status is SCNN_MALFORMED_FILE and the message says what they are. */
scnn_status scnn_model_save_memory(scnn_model *model, int32_t training_state, void *buffer, size_t capacity,
                                   size_t *length);
scnn_status scnn_model_load_memory(const void *bytes, size_t count, scnn_model **model);

/* As scnn_model_save_memory, with the options of scnn_model_save_as. */
scnn_status scnn_model_save_memory_as(scnn_model *model, const char *options, void *buffer, size_t capacity,
                                      size_t *length);

/* In which format a file of this name is written, by its ending: "safetensors", "torch" or "onnx"; SCNN_INVALID_ARGUMENT
 * where the ending is that of a format that is not written so, which is better known before training than after it.
 * `purpose` is what is to be written: "model" (scnn_model_save), "checkpoint" (the same with training state), "weights"
 * (scnn_model_save_weights) or "onnx" (scnn_model_export_onnx). */
scnn_status scnn_file_format(const char *path, const char *purpose, char *buffer, size_t capacity, size_t *length);

/* Replaces the parameters by those of a file: safetensors, or PyTorch's .pth of either form, of which only tensors are
 * read and nothing is run; or of several files by their index (model.safetensors.index.json), or of a folder that has one.
 * The names may be those of torchvision, timm, efficientnet_pytorch, Hugging Face's transformers or this library, behind
 * any prefix, as "module."; in a checkpoint the tensors are found wherever they lie, averaged ones first. Where the file's
 * classifier has another number of classes the model's keeps the values it has. With `strict` not 0, a first convolution
 * for another number of channels is converted by timm's rule, and what is missing, left over or misshapen is one error that
 * lists it, and the model is unchanged; with 0 what fits as it stands is taken, and that nothing does is an error. The
 * report says what was taken, from where, and what not: a caller with `strict` 0 looks into it. */
scnn_status scnn_model_load_weights(scnn_model *model, const char *path, int32_t strict);

/* Which layer of a file is which of a model, for readers of files that have their weights by layers, as Keras's. `layers` is
 *   {"wanted": [layers of the model], "stored": [layers of the file], "has_order": whether those are in Keras's order,
 *    "last": "the model's last parameter, as of a classifier"}
 * where each layer is {"path": ["attributes", "lists"...] to it, "given": [names that somebody gave to it and those around
 * it, the own last; "" for others], "kind": "conv2d", "label": "for messages", "weights": [{"shape": [3, 3, 1, 8], and of
 * the model "name": "kernel", "parameter": "conv.weight", "label": "conv/kernel"}]}. The result: "pairs" of numbers of
 * layers that fit, "missing" parameters, "left_over" and "misshapen" layers, those matched "by_order" alone, and
 * "other_classes", the number of classes of a classifier for another, or null.
 * With "pixels" in `layers`, {"stored": the file's layers that normalise pixels, each {"label", "name", "mean", "variance"},
 * "own": the model's, "has_reader": whether a model in it normalises pixels itself, "channels": how many they have,
 * "network": what the file says of its network, as scnn_keras_network takes it, or null, "rescalings": how many layers scale
 * pixels}, the result has "pixels" too: the "mean" and "std" of scnn_model_set_preprocessing that the file's layers come
 * to, or null. */
scnn_status scnn_match_layers(const char *layers, char *buffer, size_t capacity, size_t *length);

/* What a network is that Keras describes, as in the `config.json` of its files, for those who make it of layers. The
 * result is {"version": 1, "inputs": [{"name", "shape"} of what networks begin with], "layers": [...]}, where a layer is
 *   {"keras": its class, "name", "is_function": whether it is a function of Keras's, as of `a + b`, "config": its arguments,
 *    arrays as {"$array": numbers, "dtype": "<f4"}},
 * and after them networks, the last being the whole, are
 *   {"model": "sequential", "name", "trainable", "layers": numbers of layers, "input": that of an input, if one is known, and
 *    then "begins": false}
 * or {"model": "functional", "name", "trainable", "input": numbers of inputs, "input_names" and "keys": the keys where the
 * inputs and outputs are in a dictionary, else null, "calls": [{"layer", "args", "kwargs", "results": numbers of tensors}],
 * "outputs": such numbers}. Tensors have numbers, the inputs the first; {"$tensor": number} stands for one in "args". */
scnn_status scnn_keras_network(const char *config, char *buffer, size_t capacity, size_t *length);

/* What the last file of weights had for the model, a JSON object: "path", "naming" (as of scnn_model_save_weights),
 * "loaded" (the number of parameters), "missing", "left_over" and "misshapen" (lists), "other_classes" (the number of
 * classes of a classifier that was not taken; else null), "matched_by" ("name" or "order"), "source" (where in a
 * checkpoint the tensors lie, as "state_dict_ema"; "" where they are all there is), "prefix" (what stands before the names
 * of all that was taken, as "module."), "passed_over" (tensors beside those with the prefix), "converted" (first
 * convolutions made for another number of channels). "" where none was loaded. */
scnn_status scnn_model_weights_report(scnn_model *model, char *buffer, size_t capacity, size_t *length);

/* Writes the parameters alone, whole or not at all: where the path ends in .pth, .pt or .bin a state_dict that torch.load
 * reads, else safetensors. `naming` is "native" (NULL), "torchvision", "timm", "efficientnet_pytorch" or "huggingface". */
scnn_status scnn_model_save_weights(scnn_model *model, const char *path, const char *naming);

/* As scnn_model_save_weights, with options:
 *   "naming": "native"
 *   "dtype": "float32"      as of scnn_model_save_as; a .pth file has tensors of torch.bfloat16 then */
scnn_status scnn_model_save_weights_as(scnn_model *model, const char *path, const char *options);

/* Writes the network as it predicts, with its weights, as an ONNX file: operator set 17, weights as initializers, a batch
 * of any size. The file appears whole or not at all. ONNX is in a library of its own, libswiftcnn_onnx.so beside this
 * one, which the first call of one of these three functions loads; without it the status is SCNN_INVALID_STATE. Options:
 *   "layout": "nhwc"     images at the model's input and output are [batch, height, width, channels], as here; or
 *                        "nchw": [batch, channels, height, width], as PyTorch's
 *   "pixels": false      true: the model takes uint8 pixels and normalises them itself, else it takes the float32 that
 *                        come out of that: (pixel / 255 - mean) / std, which ONNX readers then have to compute */
scnn_status scnn_model_export_onnx(scnn_model *model, const char *path, const char *options);

/* Reads an ONNX file of operator set 7 to 28, made of the operations that scnn_onnx_operations names; the parameters are
 * named by the file's initializers and can be trained. Weights may lie in other files of its folder, not in files
 * outside of it. A status other than SCNN_OK comes with the node and its operation in the message. Options:
 *   "layout": "nhwc"     images at the model's input and output are [batch, height, width, channels], whatever the file
 *                        has; or "file": as in the file
 *   "batch": true        the first axis is the batch; false: a whole tensor is one sample, and the model's input and
 *                        output have one more axis in front
 *   "preprocessing": null  what is done to pictures and pixels, as scnn_model_set_preprocessing takes it
 *   "class_names": null  a list of texts
 * A model of 1000 classes of colored images is taken for one of ImageNet: it gets the names of those classes and the usual
 * preprocessing for its size. Pixels: a network that normalises its input itself, and one that takes uint8, gets them as
 * they are; one that this library wrote keeps its mean and std. scnn_model_import_report tells what was assumed. */
scnn_status scnn_model_import_onnx(const char *path, const char *options, scnn_model **model);

/* The same of the `count` bytes of an ONNX file in memory, which are read until the call returns. A model whose weights are
 * in other files needs a path: it is refused. */
scnn_status scnn_model_import_onnx_bytes(const void *bytes, size_t count, const char *options, scnn_model **model);

/* How the ONNX file was read that the model was made of, a JSON object of two lists of sentences: "warnings", what may be
 * other than expected (as an input of which nothing tells where its channels are), and "notes", what was found and decided
 * (as the layout of images in the file). "" for a model that comes from elsewhere. */
scnn_status scnn_model_import_report(scnn_model *model, char *buffer, size_t capacity, size_t *length);

/* The names of the ONNX operations that are read, one a line, sorted. */
scnn_status scnn_onnx_operations(char *buffer, size_t capacity, size_t *length);

/* A second, independent model with the same network, parameters and training state. */
scnn_status scnn_model_clone(scnn_model *model, scnn_model **copy);

/* Makes a model that computes in integers of 8 bits what `model` does in floats (Jacob et al. 2018); `model` stays as it is.
 * `calibration` has images as scnn_predict takes them, a few hundred like those that will come: from them come the ranges
 * of activations. Batch normalisations become part of the convolutions before them. Pixels, uint8, are then read as they
 * come. The same integers come of it on every processor. Options:
 *   "method": "mse"       how a range is found: "minmax", the smallest and the largest number; "percentile"; "entropy", the
 *                         least divergence (Migacz 2017); "mse", the least squared error
 *   "percentile": 99.99   the share of the numbers that lie within, for "percentile"
 *   "per_channel": true   whether each output channel of a weight has a scale of its own
 *   "skip": []            names of layers that stay in floats; * stands for anything
 *   "bias_correction": true  whether biases take back what the rounding of weights changes of each channel's mean (Nagel et
 *                         al. 2019, section 4.2)
 *   "equalize": false     whether weights of neighbouring layers get ranges of one size in each channel (the same, section
 *                         4.1), where ReLU, leaky ReLU, poolings or nothing is between them
 *   "samples": 300        how many images are looked at, at most
 *   "report_samples": 8   how many of them the noise is measured on that scnn_model_quantization_report tells, at most; 0: none
 *   "strict": false       whether it is an error, SCNN_INVALID_ARGUMENT, where floats are left between integers that "skip"
 *                         does not ask for; the message lists them
 *   "max_drop": null      for scnn_quantize_validated alone
 * A model that scnn_quantization_aware has made knows its ranges, layers, scales and biases: options about these are refused
 * then, and `calibration` may be NULL, or has the images that the noise is measured on.
 * SCNN_INVALID_STATE for a model that is quantised already, or one whose ranges training has yet to find;
 * SCNN_INVALID_ARGUMENT where there are no images, all their numbers are the same, or they make numbers that are not finite. */
scnn_status scnn_quantize(scnn_model *model, const scnn_tensor *calibration, const char *options, scnn_model **quantized);

/* Makes a model that is trained for integers (Jacob et al. 2018, section 3): `model` with its weights and activations rounded
 * where scnn_quantize rounds them, to scales that are parameters. scnn_compile and scnn_fit_begin train it like any other,
 * and scnn_quantize then makes the model in integers, whose scores are its own but for the rounding of biases and sums;
 * `model` stays as it is. Gradients pass through rounding (Bengio et al. 2013). `calibration`: images as scnn_predict takes
 * them, of which the first ranges are found; NULL: the first batch gives them. Options:
 *   "method", "percentile", "per_channel", "skip", "samples"  as those of scnn_quantize
 *   "ranges": "tracked"   ranges of activations follow the smallest and the largest number of each batch; or "learned": their
 *                         scales are trained (Esser et al. 2020), parameters of the role "quantization_scale"
 *   "momentum": 0.01      the share of a batch in a range that is tracked
 *   "freeze": 0.75        the share of the epochs of scnn_fit_begin after which ranges, and the statistics of batch
 *                         normalisations, stand (Krishnamoorthi 2018, section 3.2.2); 1: never
 * SCNN_INVALID_STATE for a model that is quantised or made for that training already; SCNN_INVALID_ARGUMENT as for
 * scnn_quantize, and where "ranges" is "learned" and `calibration` NULL. */
scnn_status scnn_quantization_aware(scnn_model *model, const scnn_tensor *calibration, const char *options,
                                    scnn_model **trained);

/* Makes a model that trains `student` by what `teacher` says of the same samples (Hinton et al. 2015): knowledge distillation.
 * scnn_compile and scnn_fit_begin train it like any other; the parameters that learn by it are those of `student`, which
 * stays a plain model that predicts, is saved and exported without its teacher. The loss is "student_weight" times the one
 * that scnn_compile is told and, for each of "losses", its weight times what the two networks differ by, all of it a mean
 * over the batch in which sample weights and class weights count; penalties of parameters are added. scnn_evaluate measures
 * the student's own loss alone. Options:
 *   "losses": ["soft_targets"]  what is learned of the teacher, each a name or an object with a "name" and options:
 *       "soft_targets"        T^2 KL(teacher || student) of the probabilities at the temperature T (Hinton et al. 2015,
 *                             section 2); of yes and no predictions the mean over these
 *         "temperature": 4    from 0.001 to 1,000,000
 *       "decoupled"           T^2 (alpha TCKD + beta NCKD): the label against all other classes, and these among
 *                             themselves (Zhao et al. 2022, equation 7); needs labels, or a number for each class
 *         "temperature": 4, "alpha": 1, "beta": 8
 *       "hint"                the mean of squared differences between the results of two layers (Romero et al. 2015,
 *                             section 2.2). Where they have other channels, a convolution of 1x1, or a dense layer, that is
 *                             learned too comes between; rows and columns have to be as many
 *         "student_layer", "teacher_layer"  names of tensors, as scnn_model_tensor_names gives them; both are needed
 *       "attention_transfer"  the mean of squared differences between two layers' maps of attention, sums of squares over
 *                             the channels that are divided by their length (Zagoruyko and Komodakis 2017, section 3.1)
 *         "student_layer", "teacher_layer"
 *     each with "weight": 1, a factor of 0 or more; one at least is above 0
 *   "student_weight": 1   0 or more
 *   "cache": false        whether a run keeps, in memory, what the teacher has said of a sample as it was after its changes,
 *                         and asks of none twice; losses are the same bits
 *   "cache_file": null    a file that this is kept in as well, ending in .safetensors: what it has another run does not ask.
 *                         It is written after each epoch, at once and whole. scnn_fit_begin refuses one that is damaged
 *                         (SCNN_MALFORMED_FILE), or of another teacher, other losses' results or other data
 *                         (SCNN_INVALID_ARGUMENT); of data that comes batch by batch the first batch tells
 *   "augmentations": null in how many ways each sample is changed at random, one after another by the number of the epoch:
 *                         by flips and crops of scnn_fit_begin, of batches by their place in the epoch, and by a folder
 *                         that scnn_model_image_folder gives for training; null: in another one in each epoch
 *   "seed": 0             of the weights of convolutions between layers
 * A softmax or a sigmoid at the end of either network is looked behind; what ends otherwise is taken as logits. The teacher
 * may be any model with one output that takes samples of the same shapes and gives as many classes, also one imported or
 * quantised. It predicts, with its own mean, std and precision, on each batch as it is trained on, after flips and crops of
 * scnn_fit_begin and before random layers of the student. It is not changed, and may not be freed by others meanwhile: the
 * model holds it. Where `student` was loaded from a checkpoint of such training, that goes on with the same options.
 * SCNN_INVALID_ARGUMENT for options, or a teacher that has parameters of the student; SCNN_UNKNOWN_NAME for a layer;
 * SCNN_SHAPE_MISMATCH for other inputs, classes, rows or columns; SCNN_INVALID_STATE where one of the two has several outputs,
 * `student` has a teacher, or is a checkpoint of a distillation with other options. */
scnn_status scnn_distill(scnn_model *student, scnn_model *teacher, const char *options, scnn_model **learner);

/* The model that learns, of one that scnn_distill has made: a handle of its own, to be freed too, on the student that it was
 * made of. SCNN_INVALID_STATE for another model. */
scnn_status scnn_distilled_student(scnn_model *learner, scnn_model **student);

/* The teacher of a model that scnn_distill has made, as a model that is compiled with the same loss and metrics: scnn_evaluate
 * measures it on the data that `learner` is measured on. It has the teacher's parameters, and is to be freed.
 * SCNN_INVALID_STATE for another model, or before scnn_compile. */
scnn_status scnn_measured_teacher(scnn_model *learner, scnn_model **teacher);

/* Keeps a warning, which scnn_model_warning gives, where the teacher is no better than the student: by the first metric that
 * grows with what is right, and else by the loss. `results` are the student's, as scnn_evaluate gives them, and
 * `teacher_results` those of scnn_measured_teacher on the same data; `count` of each, as many as scnn_metric_names has names.
 * SCNN_INVALID_STATE for a model without a teacher, or before scnn_compile. */
scnn_status scnn_compare_with_teacher(scnn_model *learner, const double *results, const double *teacher_results,
                                      size_t count);

/* The same as scnn_quantize; and where `options` have "max_drop", from 0 to 100, layers return to floats, in the order of the harm that they
 * do to the logits, until the share of the samples `x` whose first class is right has fallen by no more than so many points
 * of a hundred. The report's "returned" names them. Where the processor has tiles of bfloat16 (AMX) floats become that.
 * `y`: labels, int32 or uint8 [N], or float32 [N, classes], of which the largest counts. SCNN_INVALID_ARGUMENT where the
 * share has fallen by more with a single layer in integers, or there are no samples; SCNN_INVALID_STATE for a model that
 * does not give a number for each of two classes or more. */
scnn_status scnn_quantize_validated(scnn_model *model, const scnn_tensor *calibration, const scnn_tensor *x,
                                    const scnn_tensor *y, const char *options, scnn_model **quantized);

/* Makes a report of what a quantised model computes in integers and what that does to its numbers, for
 * scnn_model_quantization_report_text, and keeps it with the model. `x`: images that noise is measured on, all of them;
 * NULL: as it was measured when the model was made. `reference`: the model of floats that it is measured against, the one
 * that this one was made of; NULL: the model's own weights without the roundings of activations. SCNN_INVALID_STATE for a
 * model without roundings, SCNN_INVALID_ARGUMENT for a reference that is another network, or without `x`. */
scnn_status scnn_model_quantization_report(scnn_model *model, const scnn_tensor *x, scnn_model *reference);

/* The report that was made last; SCNN_INVALID_STATE where none was. `format`: "text" (a table), "svg" (a picture: bars of
 * signal to noise and of shares of the error) or "json", an object of
 *   "model": its name, "reference": what noise is measured against, null where it was not, "images": how many it was measured
 *       on
 *   "steps": a list in the order in which they run of {"layers": names, "operation", "dtype": "int8", "float32" or
 *       "bfloat16", "instruction": that of its products, as "tdpbusd", else as scnn_model_layer_precisions says it;
 *       "scale" and "zero_point" of its result, null where that is floats, or has some for each channel, as a file's input
 *       of a depthwise convolution; "weight_scales": [least, largest], null where no weight is rounded; "signal_to_noise":
 *       the power of its result over that of the noise that all roundings so far have brought, in decibels; "error_share":
 *       the share of the logits' squared error that comes of rounding its weights and its result, to first order, negative
 *       where it cancels others; both null where not measured; "reason": why it is in floats, where integers go into it or
 *       it was asked for}
 *   "islands": a list of {"layer", "operation", "reason"}: floats though integers go into them and are made of what comes out
 *   "skipped": what "skip" was, "returned": the layers that have returned to floats, the most harmful first
 *   "accuracy": null, or {"samples", "float32", "int8"}: shares of the validation samples */
scnn_status scnn_model_quantization_report_text(scnn_model *model, const char *format, char *buffer, size_t capacity,
                                                size_t *length);

/* Makes a model whose smallest weights are 0 and stay so, in training too (Han et al. 2015); `model` stays as it is. Which
 * they are is kept with the network as a mask: whatever is written to a weight, by training, scnn_model_set_parameter or a
 * file, is 0 where its mask says so. Copies, model files and models in integers have the masks, other files the zeros alone.
 * Predictions skip such zeros where that is faster. The first layer, the last and depthwise ones stay as they are unless
 * "include" names them. Options:
 *   "sparsity": null      the share of the weights that become 0, from 0 to 1; null: 0.9. 0 takes masks away
 *   "pattern": "unstructured"  each weight by itself; "16x1": the weights by which one input channel goes into 16 output
 *                         channels, which are skipped at least cost; "N:M", as "2:4": of every M neighbouring input channels
 *                         N are left (Mishra et al. 2021); "zeros": those that are 0 now, as other tools leave them. The last
 *                         two say themselves how many are 0
 *   "scope": "global"     among which the smallest are looked for: all weights, each one's square divided by the sum of its
 *                         layer's squares that are not smaller (Lee et al. 2021); or "layer": those of each layer
 *   "skip": []            names of layers that stay as they are; * stands for anything
 *   "include": []         of the first, the last and depthwise layers those that do not
 * SCNN_INVALID_ARGUMENT where no layer is left or a weight is no number, SCNN_UNKNOWN_NAME for a layer or pattern that there
 * is not, SCNN_INVALID_STATE for a model in integers. */
scnn_status scnn_sparsify(scnn_model *model, const char *options, scnn_model **sparse);

/* The same of the model itself, between steps of its training: masks become those that `options` say, for weights as they are
 * now, and the optimizer's state is 0 where they are. Layers that are left alone keep the masks that they have. To let
 * sparsity grow in training, call it every so many steps with the share of Zhu and Gupta 2017, equation 1. The model is as it
 * was where an error is returned. */
scnn_status scnn_model_set_sparsity(scnn_model *model, const char *options);

/* How many weights of each convolution and dense layer are 0. `format`: "text" (a table) or "json", an object of "model": its
 * name, "weights" and "zeros": how many, "sparsity": the share, and "layers": a list of {"layer", "shape", "weights", "zeros",
 * "sparsity", "block_sparsity": the share of blocks of 16 output channels of an input channel that are 0, "masked": how many
 * its mask leaves out, null where it has none, "left_alone": null, or why it stays as it is where nothing is said}. */
scnn_status scnn_model_sparsity_report(scnn_model *model, const char *format, char *buffer, size_t capacity,
                                       size_t *length);

/* Makes a model with fewer channels, and with them all that stands or falls with them: filters, biases, normalisations and
 * what later layers make of them; `model` stays as it is. Where that is compiled the new one is too, with what the optimizer
 * remembers of the channels that are left. Channels that the network reads or gives stay. Options, one of the first four:
 *   "ratio"               the share of the channels that leaves, from 0 to below 1; no layer gets below its least width
 *   "macs"                what is left of the multiplications with additions of convolutions and dense layers: up to 1, a
 *                         share; above, their number for an image
 *   "params"              the same of the learned parameters
 *   "latency_ms"          the milliseconds of a prediction of one image on this machine, with the threads that are set: what
 *                         is worth most for its time stays (a knapsack, Shen et al. 2022), and the result is measured
 *   "criterion": "l2"     by what channels are told that matter less: "l1" (Li et al. 2017), "l2" (Fang et al. 2023),
 *                         "bn_scale" (Liu et al. 2017), "taylor" (Molchanov et al. 2019), "random"
 *   "scope": "global"     channels are compared in the whole network, scores divided by the mean of their group; or "layer":
 *                         each group loses the same share
 *   "round_to": "fast"    widths at which layers take less time on this machine; or a number of which widths are multiples
 *   "skip": []            layers that keep all their channels; * stands for anything
 *   "min_channels": 8, "min_share": 0.1  no layer gets fewer channels, or keeps a smaller share of them
 *   "seed": 0             for "random"
 * `x`, `y`: for "taylor" samples and their targets, as scnn_train_on_batch takes them, of a model that is compiled; else NULL.
 * SCNN_INVALID_ARGUMENT for a target that cannot be reached, with the nearest that can; SCNN_INVALID_STATE for a model that is
 * quantised, or made to be trained for that; SCNN_UNKNOWN_NAME for a layer to skip that there is not. */
scnn_status scnn_prune(scnn_model *model, const scnn_tensor *x, const scnn_tensor *y, const char *options,
                       scnn_model **pruned);

/* The same of the model itself, which may be in the midst of a training run: that goes on. Where it fails the model is as it
 * was. Models that share its parameters keep all of theirs. */
scnn_status scnn_model_prune(scnn_model *model, const scnn_tensor *x, const scnn_tensor *y, const char *options);

/* What the last pruning of a model, or of the one that it was cloned from, has made of it; SCNN_INVALID_STATE where there was
 * none. `format`: "text" (a table) or "json", an object of
 *   "model": its name, "groups": a list of {"layers": those that make the same channels, "before" and "after": how many,
 *       "reason": why all are left, "" where some are gone, or could be}
 *   "macs", "params": [before, after]; "latency_ms": [before, after], as measured, and "predicted_latency_ms", where a
 *       latency was the target */
scnn_status scnn_model_pruning_report(scnn_model *model, const char *format, char *buffer, size_t capacity, size_t *length);

/* Makes a model that reaches a target: channels leave in some levels (scnn_prune), after each of which what is left is trained
 * by what `model` says of the samples (scnn_distill), and of each a model in integers is made (scnn_quantize). How wide a
 * network has to be is found before it is trained. `model` stays as it is.
 *
 *   scnn_compress(model, &x, &y, &others, &their_labels, "{\"speedup\": 4, \"max_drop\": 1, \"folder\": \"small\"}",
 *                 NULL, NULL, &small);
 *
 * `x`, `y`: samples and targets as scnn_train_on_batch takes them. `validation_x`, `validation_y`: samples and labels, int32
 * or uint8 [N], or float32 [N, classes], of which the largest counts. One half of these, drawn by the seed, decides which
 * model is taken: the most accurate of those that reach the target and lose no more than max_drop points; the other half is
 * held back from all decisions and tells what was lost. Where none does, the nearest that loses no more is given, and
 * scnn_model_compression_report says why. Options, one of the first three:
 *   "latency_ms"          milliseconds of a prediction of one image on this machine with the threads that are set, kept
 *                         within 5 %
 *   "size_mb"             millions of bytes of the model's file, kept within 2 %
 *   "speedup"             how many times as fast as `model` it predicts one image
 *   "max_drop": 0.5       how many points of a hundred the share of samples that are classified right may fall by
 *   "time_limit": null    the seconds that it may take, those of earlier runs over the folder included
 *   "methods": ["prune", "distill", "quantize"]  by what; one of "prune" and "quantize" at least
 *   "levels": 3           in how many steps channels leave at most
 *   "epochs": 10          how many epochs are trained after each at most
 *   "learning_rate": 0.02 what each training begins with: SGD with momentum 0.9, down to 0 in half a cosine. The loss is that
 *                         of `model` where it is compiled, else that of labels
 *   "skip": []            layers that keep all channels and stay in floats; * stands for anything
 *   "seed": 0             what chance is drawn from
 *   "folder": null        where every model on the way is written as it is made, with "compression.json", which says what there
 *                         is, "report.json" and "pareto.svg". A run that was ended in whatever way goes on from there when it
 *                         is begun again with the same model and options but for the time limit
 *   "fit": {}             "batch_size" (128), "horizontal_flip", "crop_padding", "class_weight" of scnn_fit_begin; not for
 *                         scnn_compress_with
 * `begin`, or NULL: is told what begins, as an object of "stage", a text, "steps", those of training that belong to it, and
 * "elapsed" and "left", seconds; the call ends with the status that it returns, where that is not SCNN_OK.
 * SCNN_INVALID_ARGUMENT for a folder of another compression, naming what differs; SCNN_INVALID_STATE for a model that is
 * quantised, or learns of another. */
scnn_status scnn_compress(scnn_model *model, const scnn_tensor *x, const scnn_tensor *y, const scnn_tensor *validation_x,
                          const scnn_tensor *validation_y, const char *options,
                          scnn_status (*begin)(void *context, const char *stage), void *context, scnn_model **compressed);

/* What the models of a compression are trained and measured with, where that is no arrays. Functions return SCNN_OK, or the
 * status that the compression ends with; models that they are given are theirs to free.
 *   steps_per_epoch   how many steps of training an epoch has
 *   samples           how many validation samples there are
 *   train             trains a model that is compiled for so many steps, or until so many seconds are over
 *   validate          writes for each validation sample, in the same order each time, 1 where a model classifies it right,
 *                     else 0
 *   begin             as of scnn_compress; may be NULL */
typedef struct scnn_compression_data {
  void *context;
  size_t steps_per_epoch, samples;
  scnn_status (*train)(void *context, scnn_model *model, size_t steps, double seconds);
  scnn_status (*validate)(void *context, scnn_model *model, uint8_t *right);
  scnn_status (*begin)(void *context, const char *stage);
} scnn_compression_data;

/* The same with data of any kind. `calibration`: images as scnn_predict takes them, a few hundred like those that will come. */
scnn_status scnn_compress_with(scnn_model *model, const scnn_tensor *calibration, const scnn_compression_data *data,
                               const char *options, scnn_model **compressed);

/* What the compression that has made a model, or the one that it was cloned from, has found; SCNN_INVALID_STATE where none
 * has. `format`: "text" (a table), "svg" (a chart of what models take against what they classify right) or "json", an object of
 *   "model": its name, "target" in "unit": "ms" or "MB", "max_drop"
 *   "reached": whether the target was, within max_drop on the samples held back; "reason": why not, "" where it was
 *   "points": a list of models on the way, the first being the given one, of {"name", as its file's, "methods", "macs" and
 *       "params", "bytes" of its file, "latency_ms", measured in turns with the given model, "accuracy" and
 *       "held_back_accuracy": shares of the two halves, "seconds" from the beginning}; "chosen": the index of one
 *   "held_back_drop": the points of a hundred that this has lost on the samples held back; "samples": {"deciding",
 *       "held_back"}; "seconds": how long all took */
scnn_status scnn_model_compression_report(scnn_model *model, const char *format, char *buffer, size_t capacity,
                                          size_t *length);

/* A model of a network that scnn_model_graph gave as "json"; its parameters are drawn anew. Options: as of
 * scnn_graph_model. */
scnn_status scnn_model_from_graph(const char *graph, const char *options, scnn_model **model);

/* Takes over the values of all parameters, which of them are trained, their penalties and masks, and the training state of
 * `other`, a model with the same parameters in the same order; their names may differ. SCNN_SHAPE_MISMATCH where a role or
 * a shape does, and the model is unchanged. */
scnn_status scnn_model_copy_state(scnn_model *model, scnn_model *other);

/* Texts of your own, by keys of your own, that go with the model into its clones and files (safetensors' metadata); the
 * library does not read them. NULL takes one away; one that is not there is "". "format", "swiftcnn.graph",
 * "swiftcnn.model", "swiftcnn.training" and "swiftcnn.notes" are not yours; "swiftcnn.python" is what the Python package
 * keeps. */
scnn_status scnn_model_set_metadata(scnn_model *model, const char *key, const char *value);
scnn_status scnn_model_metadata(scnn_model *model, const char *key, char *buffer, size_t capacity, size_t *length);

/* Frees a model. NULL is fine. */
scnn_status scnn_model_free(scnn_model *model);

/* ------------------------------------------------------------------------------------------------ looking at a model */

/* The name it was built under. */
scnn_status scnn_model_name(scnn_model *model, char *buffer, size_t capacity, size_t *length);

/* A table of layers, output shapes and parameter counts. */
scnn_status scnn_model_summary(scnn_model *model, char *buffer, size_t capacity, size_t *length);

/* The same table, and for each layer the step of a prediction that computes it: its number, as scnn_model_profile counts
 * them, and its algorithm. Layers with the same number are one step. */
scnn_status scnn_model_fused_summary(scnn_model *model, char *buffer, size_t capacity, size_t *length);

/* The network. `format`: "text" (one line a value), "dot" (Graphviz), "svg" (as scnn_model_draw without options), "json"
 * (as in the model file), or "layers": a list of its layers as Keras has them, each with "name", "class" (as "Conv2D";
 * "Layer" where Keras has none), "config" (the arguments), "operation", "attributes", "nodes" (the results of which it is),
 * "operands" (what it reads) and "weights" (pairs of a parameter and Keras's name for it); "sides" is padding that
 * "config" has no word for, "depthwise" the number of channels that are convolved separately. "structure" is JSON that is
 * equal where two networks compute the same way, whatever their results are called: "inputs", "steps", "outputs", and the
 * names ("parameters") and "shapes" of parameters. */
scnn_status scnn_model_graph(scnn_model *model, const char *format, char *buffer, size_t capacity, size_t *length);

/* The network as a picture, an SVG document that browsers show: boxes of operations from the inputs down to the outputs,
 * with a frame round each block of layers. A long one goes on in further columns. One of more than 4096 boxes is
 * SCNN_INVALID_ARGUMENT. Options:
 *   "shapes": true      shows the shapes of the results
 *   "names": true       shows the names of the layers */
scnn_status scnn_model_draw(scnn_model *model, const char *options, char *buffer, size_t capacity, size_t *length);

/* The outputs that are feature maps [N, height, width, channels], as "features_only" of scnn_model_create gives them: a
 * JSON list of objects with "name" (the output's), "channels" and "reduction" (how many pixels of the image's height and
 * width one of the map's stands for). */
scnn_status scnn_model_feature_maps(scnn_model *model, char *buffer, size_t capacity, size_t *length);

/* The shape of the input without the batch, as [height, width, channels]; -1 where any size will do. SCNN_INVALID_STATE
 * where the model has several inputs. */
scnn_status scnn_model_input_shape(scnn_model *model, int64_t shape[SCNN_MAX_RANK], int32_t *rank);

typedef struct scnn_input {
  const char *name; /* valid as long as the model */
  int32_t pixels;   /* not 0 where it may be uint8, which is normalised */
  int32_t rank;
  int64_t shape[SCNN_MAX_RANK]; /* without the batch; -1 where any size will do */
} scnn_input;

/* The number of inputs, and one of them, in the order in which their tensors are given. */
scnn_status scnn_model_input_count(scnn_model *model, size_t *count);
scnn_status scnn_model_input(scnn_model *model, size_t index, scnn_input *input);

/* The mean and standard deviation for uint8 pixels, `channels` numbers each; of several inputs, those of the first image. */
scnn_status scnn_model_get_normalization(scnn_model *model, double *mean, double *deviation, size_t channels);
scnn_status scnn_model_set_normalization(scnn_model *model, const double *mean, const double *deviation,
                                         size_t channels);

/* What is computed in: "float32", as every model does to begin with, or bfloat16 in those layers where there is an
 * implementation that is no slower on this processor: that there are instructions for it does not decide. With "bfloat16"
 * predictions and evaluations are; with "mixed_bfloat16" training is too: images between layers and their gradients are
 * stored as bfloat16 and products are of it. Inputs, outputs, parameters, their gradients, statistics, sums and what the
 * optimizer keeps are float32 with all of them; losses need no scale. It goes with the model into clones, model files,
 * checkpoints and the bytes of scnn_model_save_memory. A run that is resumed in the same precision ends in the same bits as
 * one that was not stopped, and it may be resumed in another. */
scnn_status scnn_model_set_precision(scnn_model *model, const char *dtype);
scnn_status scnn_model_get_precision(scnn_model *model, char *buffer, size_t capacity, size_t *length);

/* What each layer of a prediction is computed in, in the order in which they run, for one sample of the size that the
 * network was built with, and each step between layers, as a copy into another layout: a JSON list of {"layer": its name,
 * "dtype": "float32", "bfloat16" or, of a quantised model, "int8", "instruction": what it is computed with, as "avx512", or
 * "portable" where no code is generated for it, "reason": why it is not what scnn_model_set_precision asked for, or ""}. */
scnn_status scnn_model_layer_precisions(scnn_model *model, char *buffer, size_t capacity, size_t *length);

/* What the model has noticed about the images it was given that may be a mistake, a sentence; "" where there is nothing
 * new. That float32 looks like pixels that nobody normalised (whole numbers up to 255, or from 0 to 1 where the model's
 * mean and deviation make other numbers of pixels), or that images are other than those that the model was trained on:
 * pixels, or float32 as it stood, which its files and clones remember, of several images of the first; a few numbers of the
 * first images are looked at. Or that a batch to train on, as a last one of a single image, leaves batch normalisation one
 * value for each channel, whose variance is 0. Each is told once. Calls succeed all the same. */
scnn_status scnn_model_warning(scnn_model *model, char *buffer, size_t capacity, size_t *length);

/* What integers of another width, of which `minimum` is the smallest and `maximum` the largest, are to be given as:
 * `*dtype` becomes SCNN_UINT8 where they are pixels, or SCNN_FLOAT32 where the model takes pixels as they are (mean 0,
 * deviation 1 / 255). SCNN_INVALID_ARGUMENT where they can be no pixels and the model normalises those. */
scnn_status scnn_model_integer_dtype(scnn_model *model, int64_t minimum, int64_t maximum, int32_t *dtype);

/* Whether the output is logits: as "from_logits" of scnn_compile says, or else 1 where it comes directly from a dense
 * layer or a convolution; reshaping, global pooling and dropout between are looked through. */
scnn_status scnn_model_gives_logits(scnn_model *model, int32_t *logits);

typedef struct scnn_parameter {
  const char *name; /* as "layer1.0.conv1.weight"; valid as long as the model */
  const char *role; /* "weight", "bias", "normalization_scale", "normalization_shift", "slope",
                       "quantization_scale" or "statistic" */
  int32_t trainable;
  int32_t rank;
  int64_t shape[SCNN_MAX_RANK]; /* OIHW for convolutions, [out, in] for dense layers */
} scnn_parameter;

/* The number of parameters (tensors, not elements), and one of them, in the order of the network. */
scnn_status scnn_model_parameter_count(scnn_model *model, size_t *count);
scnn_status scnn_model_parameter(scnn_model *model, size_t index, scnn_parameter *parameter);

/* Copies a parameter out or in. `count` is its number of elements. */
scnn_status scnn_model_get_parameter(scnn_model *model, const char *name, float *data, size_t count);
scnn_status scnn_model_set_parameter(scnn_model *model, const char *name, const float *data, size_t count);

/* Freezes (0) or unfreezes the parameters whose names match `pattern` (* for any characters, ? for one, [12] for one of
 * these, [!12] for none of these, as in "layer[12].*"); `*matched` (may be NULL) becomes their number. Where none
 * matches the status is SCNN_UNKNOWN_NAME. Batch normalisation with frozen parameters runs in inference mode. */
scnn_status scnn_model_set_trainable(scnn_model *model, const char *pattern, int32_t trainable, size_t *matched);

/* Adds l1 * sum(|w|) + l2 * sum(w * w) to the loss for the parameters whose names match, in training and evaluation;
 * it replaces what was set for them before, and 0 and 0 end it. */
scnn_status scnn_model_set_regularization(scnn_model *model, const char *pattern, double l1, double l2,
                                          size_t *matched);

/* Replaces the last dense layer, the classifier, by one for so many classes, with weights drawn from `seed`. All else
 * keeps its values and stays shared with the same models. How the model is trained is forgotten: call scnn_compile
 * again. So are the names of the classes. */
scnn_status scnn_model_reset_classifier(scnn_model *model, int64_t classes, uint64_t seed);

/* The names of all tensors that scnn_predict can give, one a line, in the order they are computed. */
scnn_status scnn_model_tensor_names(scnn_model *model, char *buffer, size_t capacity, size_t *length);

/* ------------------------------------------------------------------------------------------------------- prediction */

/* The shape that `tensor` (NULL: the output) has for an input like `x`; x->data is not read and may be NULL. */
scnn_status scnn_model_output_shape(scnn_model *model, const scnn_tensor *x, const char *tensor,
                                    int64_t shape[SCNN_MAX_RANK], int32_t *rank);

/* The shape of `tensor` (NULL: the output) with -1 for the batch and for sizes that vary with the input's. */
scnn_status scnn_model_tensor_shape(scnn_model *model, const char *tensor, int64_t shape[SCNN_MAX_RANK],
                                    int32_t *rank);

/* Runs the model on `x` [N, height, width, channels] (with several inputs a list, see scnn_tensor), at most `batch_size` images at a time (1 or more; fewer where so
 * many would not stay in the caches), and writes the output, or the intermediate result named `tensor`, as `count`
 * float32. The same call gives the same bits. In another batch an image's result can differ in its last bits, since kernels
 * are chosen by the number of images: by up to 6e-7 for a ResNet's probabilities. */
scnn_status scnn_predict(scnn_model *model, const scnn_tensor *x, int64_t batch_size, const char *tensor,
                         float *output, size_t count);

/* The names of the outputs, one a line: one, but for models made with scnn_graph_output. */
scnn_status scnn_model_output_names(scnn_model *model, char *buffer, size_t capacity, size_t *length);

/* Runs the model once for several results: `tensors` are the names of `count` of them, each another; result i goes to
 * `outputs[i]`, which has room for `sizes[i]` float32. */
scnn_status scnn_predict_many(scnn_model *model, const scnn_tensor *x, int64_t batch_size, const char *const *tensors,
                              float *const *outputs, const size_t *sizes, size_t count);

/* Times the steps of a prediction of `x`, or of the images that are computed first where `x` is too large to be computed
 * at once, `repeats` times (1 to 1000000) and keeps the medians with the model, for scnn_model_profile_text. The first
 * time in a process it also measures, in about a quarter of a second, what the machine can do: its rate of multiply-adds
 * of float32, and once where steps compute int8 in vectors of int8, and the bandwidth of its memory, with all threads; and
 * where steps compute by tiles (AMX), each time their rate in bfloat16, of which the best is kept. */
scnn_status scnn_model_profile(scnn_model *model, const scnn_tensor *x, int64_t repeats);

/* Times the steps of a training step on a batch, as scnn_train_on_batch takes it: its forward and backward pass and what
 * the optimizer does. Trains nothing: weights and optimizer are copied for it. Gradients cannot be read after it, until
 * the next training step. */
scnn_status scnn_model_profile_training(scnn_model *model, const scnn_tensor *x, const scnn_tensor *y,
                                        const scnn_tensor *sample_weight, int64_t repeats);

/* The same where there are no images: of random numbers, of the size that the model takes, and with targets that its loss
 * takes. SCNN_INVALID_STATE where the size varies, or a training step is asked for and the model is not compiled. Options:
 *   "training": false     whether a training step is measured, and not a prediction
 *   "batch_size": 32      the images of the batch; of a prediction, those that are computed at once
 *   "repeats": 10         how often */
scnn_status scnn_model_profile_synthetic(scnn_model *model, const char *options);

/* What one of these measured last; SCNN_INVALID_STATE where none did. `format`:
 *   "text"   the table to look at first: of a prediction "steps"; of a training step the layers that take longest, with the
 *            milliseconds of each in each role, and sums of the others, of all and of each role. The roles: "forward";
 *            "recomputation", of what was not kept from the forward pass; "input_gradient", of what the layer reads of
 *            others, and of its weights where one pass gives both; "weight_gradient"; "update", of weights and statistics
 *   "steps"  a row for each step, as they run: the layers it computes, algorithm, the type of its numbers, the instruction of
 *            its products as "vpdpbusd", or else the instructions that it is computed with as scnn_model_layer_precisions says
 *            them, shape, time, the time by the model of costs that the algorithm was chosen by, GFLOP/s, share of the
 *            machine's limit, bytes, GB/s, and of a training step the roles
 *   "json"   the numbers: "steps", each with "layers", "pass" ("forward", "backward" or "update"; null in a prediction),
 *            "reason" (why it is not computed in the precision that was asked for, or "") and "parts", what it does for each layer in each "role"; "layers", of which each has "roles"; and "roles". All have
 *            "seconds", "predicted_seconds" (null where nothing was to be chosen), "operations", "bytes", "shortest_seconds"
 *            (the limit), "gigaflops", "gigabytes_per_second" and "share_of_limit". The sum of the parts is the step, and the
 *            sums of "steps", "layers" and "roles" are the same. Of a prediction "parts", "layers" and "roles" are empty. A
 *            "dtype" is "float32", "bfloat16" or "int8"; "tile_operations_per_second", which is of bfloat16, is null where no
 *            step computes by tiles, "integer_operations_per_second" where none computes int8 in vectors
 *   "trace"  the fastest of the runs, with when each thread was at work on each step, for chrome://tracing and Perfetto
 * A step's limit is the longer of the times that its arithmetic, on numbers of its type in tiles or in vectors, and its bytes
 * take at the measured rates. A step of a training step that computes for several layers at once is all of the layer whose
 * products it computes, or where there are none divided by the bytes that each would read and write alone. */
scnn_status scnn_model_profile_text(scnn_model *model, const char *format, char *buffer, size_t capacity,
                                    size_t *length);

/* --------------------------------------------------------------------------------------------------------- pictures */

typedef struct scnn_picture scnn_picture;

/* Reads a JPEG or PNG file, whatever its name, or its contents in memory, and turns the picture upright by its Exif
 * orientation. `channels`: 3 (RGB), 1 (grey: 0.299 R + 0.587 G + 0.114 B), 4 (RGB and alpha), or 0 as the file has it.
 * 16 bits a channel are rounded to 8, CMYK becomes RGB; alpha is left out, profiles and gamma are passed over. Files that
 * are not whole, and sizes beyond 178956970 pixels or beyond what the data can be, are SCNN_MALFORMED_FILE. The libraries
 * for the formats (Debian's packages libturbojpeg0 and libpng16-16) are opened by the first picture; SCNN_INVALID_STATE
 * where one is not on the machine. */
scnn_status scnn_picture_read(const char *path, int32_t channels, scnn_picture **picture);
scnn_status scnn_picture_decode(const void *data, size_t size, int32_t channels, scnn_picture **picture);

/* A picture of pixels uint8 [height, width, channels], or [height, width] for grey, which are copied. */
scnn_status scnn_picture_from_pixels(const scnn_tensor *pixels, scnn_picture **picture);

/* Its pixels as a tensor uint8 [height, width, channels]; the data is valid as long as the picture. */
scnn_status scnn_picture_pixels(scnn_picture *picture, scnn_tensor *pixels);

/* A resized copy of a picture, or a part of it. Options:
 *   "resize": null                the length of the shorter side, which the longer one follows; or [height, width]
 *   "crop": null                  then, the size of the middle that is cut out, a number or [height, width]; with black
 *                                 borders where the picture is smaller
 *   "interpolation": "bilinear"   or "nearest", "box", "hamming", "bicubic", "lanczos", all but the first with
 *                                 antialiasing: the same bytes as of Pillow's Image.resize. Sizes and places are rounded
 *                                 as torchvision's Resize and CenterCrop round them */
scnn_status scnn_picture_resize(scnn_picture *picture, const char *options, scnn_picture **resized);

/* A changed copy of a picture of 1 or 3 channels: the operations that augmentation is made of, in the arithmetic of Pillow
 * and torchvision. `operation` is one of these, with its "amount" in the options (default 0):
 *   "brightness", "color" (saturation), "contrast", "sharpness"   a factor: 1 changes nothing, 0 takes all of it away
 *   "hue"                                 a share of the circle, -0.5 to 0.5
 *   "posterize", "solarize"               the bits that are kept, 0 to 8; what is inverted from, 0 to 256
 *   "autocontrast", "equalize", "mirror", "identity"    none
 *   "rotate"                              degrees, counterclockwise
 *   "shear_x", "shear_y"                  how far rows move left, columns up, for each pixel down or right
 *   "translate_x", "translate_y"          pixels to the right, down
 * Options: "amount": 0; "interpolation": "nearest" or "bilinear", of the last three lines. */
scnn_status scnn_picture_adjust(scnn_picture *picture, const char *operation, const char *options,
                                scnn_picture **adjusted);

/* Frees a picture. NULL is fine. */
scnn_status scnn_picture_free(scnn_picture *picture);

/* What is done to a picture before the model sees it, which goes with the model into its clones and files: a JSON object
 * with "resize", "crop" and "interpolation" as of scnn_picture_resize, and "mean" and "std", which are those of
 * scnn_model_get_normalization. Setting takes any of the keys; the others stay as they are. */
scnn_status scnn_model_preprocessing(scnn_model *model, char *buffer, size_t capacity, size_t *length);
scnn_status scnn_model_set_preprocessing(scnn_model *model, const char *options);

/* The picture as the model reads it: with its number of channels, resized and cut out; still uint8, as scnn_predict takes
 * it with a first axis of 1. SCNN_SHAPE_MISMATCH where it does not become as large as the model's input. */
scnn_status scnn_model_preprocess(scnn_model *model, scnn_picture *picture, scnn_picture **prepared);

/* The names of the classes in the order of the output, one a line; "" where there are none. They go with the model into
 * its clones and files. Setting takes a name for each class, none of them empty, or NULL for none. */
scnn_status scnn_model_class_names(scnn_model *model, char *buffer, size_t capacity, size_t *length);
scnn_status scnn_model_set_class_names(scnn_model *model, const char *names);

typedef struct scnn_class {
  const char *name;   /* its index as text where the classes have no names; valid as long as the model */
  float probability;
  int32_t index;      /* its place in the output */
} scnn_class;

/* The classes of a picture file, or of its contents in memory, that are most probable, most probable first:
 *
 *   scnn_class classes[5];
 *   size_t count;
 *   if (scnn_classify_file(model, "photo.jpg", classes, 5, &count) != SCNN_OK) { puts(scnn_last_error()); return 1; }
 *   for (size_t i = 0; i < count; i++) printf("%5.1f %% %s\n", 100 * classes[i].probability, classes[i].name);
 *
 * `classes` has room for `top` of them; `*count` (may be NULL) becomes how many there are, fewer where the model has
 * fewer. Logits (scnn_model_gives_logits) are made probabilities by a softmax. */
scnn_status scnn_classify_file(scnn_model *model, const char *path, scnn_class *classes, size_t top, size_t *count);
scnn_status scnn_classify_memory(scnn_model *model, const void *data, size_t size, scnn_class *classes, size_t top,
                                 size_t *count);

/* The same of each of the samples in `x`, which are prepared already and taken as scnn_predict does. `classes` has room
 * for `top` times N; those of sample i begin at classes[i * top]. */
scnn_status scnn_classify(scnn_model *model, const scnn_tensor *x, int64_t batch_size, scnn_class *classes, size_t top,
                          size_t *count);

/* ------------------------------------------------------------------------------------------------ pictures in folders */

typedef struct scnn_image_folder scnn_image_folder;
typedef struct scnn_batches scnn_batches;

/* Opens a folder that has a folder of JPEG and PNG pictures for each class, for training or evaluation:
 *
 *   scnn_image_folder *folder = NULL;
 *   scnn_batches *batches = NULL;
 *   scnn_tensor x, y;
 *   scnn_image_folder_open("train", "{\"random_resized_crop\": true, \"horizontal_flip\": true}", &folder);
 *   scnn_fit_begin(model, NULL, NULL, NULL, "{\"epochs\": 5}", &fit);
 *   for (int epoch = 0; epoch < 5; epoch++) {
 *     scnn_image_folder_begin_epoch(folder, epoch, &batches);
 *     while (scnn_batches_next(batches, &x, &y, NULL) == SCNN_OK && x.data != NULL)
 *       scnn_fit_on_batch(fit, &x, &y, NULL, &progress);
 *     scnn_batches_free(batches);
 *     scnn_fit_end_epoch(fit, &progress);
 *   }
 *   scnn_fit_free(fit);
 *   scnn_image_folder_free(folder);
 *
 * The folders sorted by name, byte by byte, are the classes 0, 1...; what lies in folders within them belongs to them.
 * Hidden files are passed over, and those that do not end in .jpg, .jpeg or .png, in whichever case. Nothing is read yet.
 * Options:
 *   "size": 224                     the pictures' height and width in a batch, a number or [height, width]
 *   "channels": 3                   or 1 for grey
 *   "batch_size": 32, "drop_last": false    whether a last batch that is smaller is left out
 *   "shuffle": true                 another order in each epoch
 *   "seed": 0                       what happens to a picture depends on the seed, the epoch and the picture alone
 *   "class_names": null             a list of the folders that are classes, in the order of their numbers; by default
 *                                   all, of which then none may be empty
 *   "validation_split": 0, "subset": "training"    a share of the pictures, chosen by the seed, is held back; with
 *                                   "validation" it is these that are read
 *   "resize": null, "interpolation": "bilinear"    as of scnn_picture_resize, before the middle is cut out; by default
 *                                   so that a picture just fills "size"
 *   "label_mode": null              "int": y is int32 [N]; "categorical": float32 [N, classes], which is the default
 *                                   where the next three need it; "binary": of two classes float32 [N, 1]
 *   "label_smoothing": 0
 *   "mixup": 0, "cutmix": 0         alpha of the beta distribution; with both, each batch has one of the two
 *   "corrupt": "skip"               files that cannot be read are passed over and counted, their places taken by the next
 *                                   of the epoch, and so are folders within those of the classes; "error":
 *                                   scnn_batches_next fails and names the file, scnn_image_folder_open the folder
 *   "threads": null                 how many read; 0: the one that calls scnn_batches_next; by default as many as
 *                                   computations are divided over
 *   "prefetch": 2                   batches that are read ahead, 1 or more. With the current one and a picture a thread
 *                                   they are all the memory that is taken
 *   "reduced_decoding": false       large JPEG files are decoded at a half, a quarter or an eighth of their size where
 *                                   that is enough: faster, with other bytes than Pillow's
 *   and at random, in this order (true stands for the defaults):
 *   "random_resized_crop": false    or {"scale": [0.08, 1], "ratio": [0.75, 1.333]}: a part of this share of the area and
 *                                   this width by height, resized, in place of the middle
 *   "horizontal_flip": 0            a probability; true is 0.5
 *   "color_jitter": false           or {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}
 *   "rand_augment": false           or {"num_ops": 2, "magnitude": 9, "interpolation": "nearest"}; magnitudes are 0 to 30
 *   "random_erasing": false         or {"probability": 0.5, "scale": [0.02, 0.33], "ratio": [0.3, 3.3], "fill": "zero"},
 *                                   "noise" or "mean" (of the picture) */
scnn_status scnn_image_folder_open(const char *path, const char *options, scnn_image_folder **folder);

/* Frees a folder; epochs that are being read go on. NULL is fine. */
scnn_status scnn_image_folder_free(scnn_image_folder *folder);

/* The names of the classes, one a line, as scnn_model_set_class_names takes them. */
scnn_status scnn_image_folder_class_names(scnn_image_folder *folder, char *buffer, size_t capacity, size_t *length);

/* The folder as a model reads it, which is another handle: names decide which class a picture is of, so that labels are
 * those of the model's classes whatever their order in the folder is. `purpose`:
 *   "training"      with the options of `folder`, which has to have all of the model's classes. A model without class names
 *                   takes those of the folder, where it has as many classes; so does one with ImageNet's for which the
 *                   folder has none of them
 *   "evaluation"    each picture once, in the order of scnn_image_folder_labels, without random changes; the folder may
 *                   lack some classes. Where the model has no names, those of `training`, which may be NULL, are meant
 *   "classification"  the same, whatever targets the loss takes: the model need not be compiled
 *   "prediction"    the same, whatever its classes are as well
 * SCNN_INVALID_ARGUMENT where it has other classes, with their names (not of "prediction"), or the loss takes other targets
 * (of "training" and "evaluation"). Folders called by the 1000 WordNet numbers of ImageNet are in its order. */
scnn_status scnn_model_image_folder(scnn_model *model, scnn_image_folder *folder, const char *purpose,
                                    scnn_image_folder *training, scnn_image_folder **arranged);

/* The number of pictures, and of batches in an epoch in which no file is passed over; either may be NULL. */
scnn_status scnn_image_folder_count(scnn_image_folder *folder, size_t *pictures, size_t *batches);

/* The class of each of the `count` pictures, by class and path, and the path of one of them. */
scnn_status scnn_image_folder_labels(scnn_image_folder *folder, int32_t *labels, size_t count);
scnn_status scnn_image_folder_path(scnn_image_folder *folder, size_t picture, char *buffer, size_t capacity,
                                   size_t *length);

/* Begins the epoch of this number, from 0, which decides the order of the pictures and what happens to each: threads read
 * ahead from now on. Several epochs may be read at the same time. A forked child begins epochs of its own. */
scnn_status scnn_image_folder_begin_epoch(scnn_image_folder *folder, int64_t epoch, scnn_batches **batches);

/* The next batch: `x` uint8 [N, height, width, channels] and `y`, valid until the next call; after the last batch their
 * data is NULL. `*is_last` (may be NULL) becomes 1 where no other follows. */
scnn_status scnn_batches_next(scnn_batches *batches, scnn_tensor *x, scnn_tensor *y, int32_t *is_last);

/* How many files and folders were passed over so far (`*count` may be NULL), and why the first was, with its name; "" where none
 * was. With neither `buffer` nor `length` only the number is given. */
scnn_status scnn_batches_skipped(scnn_batches *batches, size_t *count, char *buffer, size_t capacity, size_t *length);

/* Ends the epoch, also half way. NULL is fine. */
scnn_status scnn_batches_free(scnn_batches *batches);

/* --------------------------------------------------------------------------------------------------------- training */

/* Sets how the model is trained. Settings:
 *   "loss": "sparse_categorical_crossentropy"   or "categorical_crossentropy", "binary_crossentropy",
 *                                               "binary_focal_crossentropy", "categorical_focal_crossentropy",
 *                                               "mean_squared_error", "mean_absolute_error", "huber", "log_cosh",
 *                                               "kl_divergence"; or an object:
 *           {"name": ..., "from_logits": null, "label_smoothing": 0}; huber: {"name": "huber", "delta": 1}; the focal
 *           ones besides "gamma": 2, "alpha": 0.25 (categorical: or a number for each class), and the binary one
 *           "apply_class_balancing": false (whether yes weighs alpha and no 1 - alpha)
 *           from_logits and label_smoothing are of the cross-entropies. from_logits null: logits where the
 *           output comes directly from a dense layer or a convolution (reshaping, global pooling and dropout between
 *           are looked through), else probabilities. A softmax that gives them (for binary_crossentropy a
 *           sigmoid) is absorbed: the loss is computed of what it reads. Other probabilities are divided by their sum
 *           over the last axis (not for binary_crossentropy) and clipped to 1e-7 ... 1 - 1e-7
 *   "optimizer": "sgd"                          or "adam", "adamw", "rmsprop"; or an object with "name" and:
 *           all:      "learning_rate" (0.01 for sgd, else 0.001), "weight_decay": 0 (adamw: 0.01),
 *                     "decoupled": false (true: the decay shrinks the weights by rate * weight_decay; false: it adds
 *                     weight_decay * w to the gradient; adamw: true), "decay_all": false (true: also biases, PReLU's
 *                     slopes and normalisation),
 *                     "ema_decay": null (the share of the old moving average of the weights that is kept at each
 *                     update), "ema_overwrite": null (after every so many updates the weights take the values of their
 *                     moving average), "gradient_accumulation_steps": 1 (how many steps it takes for one update, see
 *                     below), and at most one of: "clip_norm": null (norm of all gradients together),
 *                     "clip_norm_each": null (norm of each parameter's gradient), "clip_value": null (each element)
 *           sgd:      "momentum": 0, "nesterov": false, "rate_in_velocity": false (true: as Keras; false: as PyTorch)
 *           adam(w):  "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "epsilon_hat": false (true: added before the
 *                     bias is corrected, as Keras does; false: after it, as PyTorch)
 *           rmsprop:  "rho": 0.9, "momentum": 0, "epsilon": 1e-7, "centered": false,
 *                     "epsilon_inside_root": false (true: as Keras and TensorFlow; false: as PyTorch)
 *   "schedule": null                            the learning rate by step, as one of
 *           {"name": "constant"}
 *           {"name": "step", "step_size": 1000, "gamma": 0.1}
 *           {"name": "exponential", "decay_steps": 1000, "decay_rate": 0.96}
 *           {"name": "cosine", "total_steps": steps, "warmup_steps": 0, "warmup_start": null, "final_rate": 0}
 *           {"name": "one_cycle", "maximum": rate, "total_steps": steps, "start_share": 0.3, "divisor": 25,
 *            "final_divisor": 1e4}
 *           "total_steps" may be left out: each scnn_fit_begin then begins it anew over epochs times batches
 *   "metrics": [], "weighted_metrics": []       at most 15 together of the following; the second are weighted by
 *                                               sample_weight. Each is a name or an object with "name", options and
 *                                               "reported_as": null, the name in scnn_metric_names
 *           "accuracy" (of outputs with one score: which side of 0.5, or of 0 where it is a logit), "top_k": "k": 5,
 *           and where y is shaped as the output "binary_accuracy": "threshold": 0.5, "mean_squared_error",
 *           "mean_absolute_error", "root_mean_squared_error"
 *           and, counted over the whole epoch or evaluation, of class numbers and of y shaped as the output alike (where
 *           the loss takes logits, thresholds are compared with their softmax or sigmoid):
 *           "precision", "recall", "specificity": "thresholds": null (0.5; several give a number each), "top_k": null
 *                     (only so many of the largest scores say yes, above any threshold), "class_id": null (one class alone),
 *                     "average": "micro", "macro", "weighted" or "none" (a number for each class)
 *           "true_positives", "false_positives", "true_negatives", "false_negatives": "thresholds": 0.5
 *           "f1_score": "average": "none" or "micro", "macro", "weighted"; "threshold": null (the largest score says yes);
 *           "fbeta_score": "beta": 1 besides
 *           "auc": "num_thresholds": 200, "curve": "ROC", "PR" or "PRGAIN", "summation_method": "interpolation",
 *                     "majoring" or "minoring", "thresholds": null, "multi_label": false (true: the mean of the classes'
 *                     areas), "label_weights": null, "from_logits": false (true: of the scores' sigmoid)
 *           "sensitivity_at_specificity": "specificity", "specificity_at_sensitivity": "sensitivity",
 *           "precision_at_recall": "recall", "recall_at_precision": "precision" (the value that must be reached);
 *                     each "num_thresholds": 200, "class_id": null
 *           "confusion_matrix": "threshold": 0.5 (of one score): true classes by predicted ones
 *           Of a metric of several numbers, results have their mean, and of a confusion matrix the share that is right;
 *           scnn_measures_values gives them all
 *   "custom_metrics": []                        names of metrics that you measure yourself, of scnn_measures_batch; the
 *                                               library keeps the names
 *   "seed": 0                                   of dropout, stochastic depth, shuffling and augmentation
 *   "memory": "normal"                          or "low": half of the memory of a step, or as near to that as can be, for
 *                                               up to 0.3 more time; or a number of bytes that a step takes at most, with
 *                                               gradients and scratch memory, beside the weights and what the optimizer
 *                                               keeps. As little is computed again as that takes; where it cannot be
 *                                               met, the first step is SCNN_INVALID_ARGUMENT and the message says the
 *                                               least that can. The numbers are the same bits, but that in mixed
 *                                               precision others are rounded */
scnn_status scnn_compile(scnn_model *model, const char *settings);

/* The settings with which training goes on, also those of a loaded checkpoint: a JSON object with every key, as
 * scnn_compile takes it. A learning rate that was set since stands in place of a schedule. */
scnn_status scnn_training_settings(scnn_model *model, char *buffer, size_t capacity, size_t *length);

/* How many steps the model has been trained for since scnn_compile, those before a checkpoint included. */
scnn_status scnn_trained_steps(scnn_model *model, int64_t *steps);

/* How far training is, a JSON object: "step" (as scnn_trained_steps), "epoch" and "batch" (with which a run that resumes
 * begins), "results" (the loss and the metrics over the last epoch that was begun, up to there) and
 * "average_in_place" (whether scnn_swap_ema has put the moving average in the place of the weights). */
scnn_status scnn_training_progress(scnn_model *model, char *buffer, size_t capacity, size_t *length);

/* Keeps a text and `size` bytes of your own with the state of training, as what your training loop has to remember: they
 * go with it into clones, scnn_model_copy_state and checkpoints; scnn_compile drops them, and the library does not read
 * them. `text` NULL takes both away; `data` may be NULL where `size` is 0. */
scnn_status scnn_set_training_notes(scnn_model *model, const char *text, const void *data, size_t size);

/* Reads them: "" and no bytes where there are none. `*size` becomes the number of bytes; where there is no room for them
 * in `capacity`, that is SCNN_BUFFER_TOO_SMALL. */
scnn_status scnn_training_notes(scnn_model *model, char *buffer, size_t capacity, size_t *length);
scnn_status scnn_training_notes_data(scnn_model *model, void *data, size_t capacity, size_t *size);

/* The names of the numbers that training and evaluation give, one a line: "loss", then the metrics, of which top_k is
 * called "top_5_accuracy" unless its "reported_as" says otherwise. */
scnn_status scnn_metric_names(scnn_model *model, char *buffer, size_t capacity, size_t *length);

/* One step on one batch. `y`: int32 labels [N] or [N, 1] for sparse_categorical_crossentropy (one per prediction where
 * there is more than one for a sample), else float32 shaped as the output, or [N] where that is [N, 1].
 * `sample_weight`: float32 [N] or NULL. Writes the `count` numbers that scnn_metric_names names, measured before the
 * step. The gradients stay readable by scnn_get_gradient until the next step. */
scnn_status scnn_train_on_batch(scnn_model *model, const scnn_tensor *x, const scnn_tensor *y,
                                const scnn_tensor *sample_weight, double *results, size_t count);

/* The same numbers over a data set, without training. */
scnn_status scnn_evaluate(scnn_model *model, const scnn_tensor *x, const scnn_tensor *y,
                          const scnn_tensor *sample_weight, int64_t batch_size, double *results, size_t count);

/* The same with the moving average of the weights ("ema_decay") in their place, which both stay as they are;
 * SCNN_INVALID_STATE where none is kept. */
scnn_status scnn_evaluate_ema(scnn_model *model, const scnn_tensor *x, const scnn_tensor *y,
                              const scnn_tensor *sample_weight, int64_t batch_size, double *results, size_t count);

typedef struct scnn_measures scnn_measures;

/* Sums of metrics over batches, and the numbers made of them:
 *
 *   scnn_measures *measures = NULL;
 *   double matrix[100];
 *   int64_t shape[SCNN_MAX_RANK];
 *   int32_t rank;
 *   scnn_measures_create("{\"metrics\": [\"confusion_matrix\"]}", &measures);
 *   while (...) scnn_measures_add(measures, &y_true, &y_pred, NULL);
 *   scnn_measures_values(measures, 0, matrix, 100, shape, &rank);
 *   scnn_measures_free(measures);
 *
 * `settings` has "metrics", as scnn_compile takes them; all are weighted where there are weights. Or those of a model, the
 * loss first: new ones for an evaluation that comes batch by batch, or with `of_training` not 0 a copy of what training
 * reported last (in a run, over the epoch so far). */
scnn_status scnn_measures_create(const char *settings, scnn_measures **measures);
scnn_status scnn_model_measures(scnn_model *model, int32_t of_training, scnn_measures **measures);
scnn_status scnn_measures_free(scnn_measures *measures);

/* Adds predictions: `y_pred` float32 [N, ..., classes] (or [N]), `y_true` int32 class numbers [N, ...] or float32 shaped
 * as y_pred, `sample_weight` float32 [N] or NULL. */
scnn_status scnn_measures_add(scnn_measures *measures, const scnn_tensor *y_true, const scnn_tensor *y_pred,
                              const scnn_tensor *sample_weight);

/* Adds a batch to an evaluation of the model that the measures are of; `use_ema` not 0: as scnn_evaluate_ema. */
scnn_status scnn_measures_evaluate(scnn_measures *measures, scnn_model *model, const scnn_tensor *x,
                                   const scnn_tensor *y, const scnn_tensor *sample_weight, int64_t batch_size,
                                   int32_t use_ema);

/* Forgets what was added. */
scnn_status scnn_measures_reset(scnn_measures *measures);

/* A number for each metric, `count` of them: over everything that was added. */
scnn_status scnn_measures_results(scnn_measures *measures, double *results, size_t count);

/* All numbers of metric `index`, and the shape of the array that they are, rank 0 for one: those of several thresholds,
 * then of the classes. Where `capacity` is too small, or `values` NULL, the shape is told and the status is
 * SCNN_BUFFER_TOO_SMALL. */
scnn_status scnn_measures_values(scnn_measures *measures, size_t index, double *values, size_t capacity,
                                 int64_t shape[SCNN_MAX_RANK], int32_t *rank);

/* The batch that was measured last, for metrics of your own ("custom_metrics" of scnn_compile): targets, predictions and
 * sample weights, whose data is NULL where there are none. Valid until another is measured, or scnn_measures_free. */
scnn_status scnn_measures_batch(scnn_measures *measures, scnn_tensor *y_true, scnn_tensor *y_pred,
                                scnn_tensor *sample_weight);

/* What a loss costs, or accuracy, binary accuracy, top_k or an error gives, for each of the `count` rows of the last axis
 * of `y_pred`: `settings` has "loss" or "metric", as scnn_compile takes a loss and one of its metrics. */
scnn_status scnn_measure_rows(const char *settings, const scnn_tensor *y_true, const scnn_tensor *y_pred, float *rows,
                              size_t count);

/* The gradient of a parameter in the last training step, laid out as the parameter. */
scnn_status scnn_get_gradient(scnn_model *model, const char *parameter, float *data, size_t count);

/* The learning rate of the next step. Setting it ends a schedule. */
scnn_status scnn_get_learning_rate(scnn_model *model, double *rate);
scnn_status scnn_set_learning_rate(scnn_model *model, double rate);

/* Exchanges the weights with their exponential moving average ("ema_decay"); a second call exchanges them back. */
scnn_status scnn_swap_ema(scnn_model *model);

/* Gives the weights the values of their moving average, which stays as it is. */
scnn_status scnn_apply_ema(scnn_model *model);

/* ---------------------------------------------------------------------------------------------- training on a set */

typedef struct scnn_fit scnn_fit;

enum { SCNN_MAX_METRICS = 16 };

typedef struct scnn_progress {
  int64_t epoch;   /* from 0 */
  int64_t batch;   /* batches done in this epoch */
  int64_t batches; /* of an epoch; 0 where that is not known */
  int64_t step;    /* steps the model has been trained for in all */
  int32_t epoch_ended;
  int32_t finished; /* all epochs are done */
  int32_t metric_count;
  double learning_rate;             /* of this step */
  double results[SCNN_MAX_METRICS]; /* over the epoch so far, as scnn_metric_names names them */
} scnn_progress;

/* Begins training on `x` and `y` (and `sample_weight` or NULL), which must stay in place until scnn_fit_free; or, where all
 * three are NULL, on data that comes batch by batch, as the pictures of a folder above, each given to scnn_fit_on_batch.
 * Options:
 *   "batch_size": 32, "shuffle": true
 *   "epochs": 1                                    where it ends: from "initial_epoch" 2 to "epochs" 5 there are three
 *   "horizontal_flip": false, "crop_padding": 0    random flip, and random crop after padding by so many pixels
 *   "class_weight": {"0": 1.0, ...}                multiplies the sample weights; for int32 labels
 *   "initial_epoch": 0
 *   "resume": false                                go on from the loaded checkpoint's epoch and batch
 *   "steps": null                                  the batches of an epoch that comes batch by batch, where that is
 *                                                  known; a schedule that was left open needs it
 * "batch_size" and "shuffle" are of data that is given at once. The order and the augmentation of an epoch depend on
 * nothing but the seed of scnn_compile and the step at which the epoch begins. */
scnn_status scnn_fit_begin(scnn_model *model, const scnn_tensor *x, const scnn_tensor *y,
                           const scnn_tensor *sample_weight, const char *options, scnn_fit **fit);

/* Trains on the next batch and says how far it is. After progress->finished, a further call is SCNN_INVALID_STATE. */
scnn_status scnn_fit_step(scnn_fit *fit, scnn_progress *progress);

/* The same of a fit that was begun without data: trains on this batch, as scnn_train_on_batch takes it. Of an epoch that is
 * resumed in its midst it wants the batches from the one on that scnn_fit_progress says. */
scnn_status scnn_fit_on_batch(scnn_fit *fit, const scnn_tensor *x, const scnn_tensor *y,
                              const scnn_tensor *sample_weight, scnn_progress *progress);

/* Ends an epoch that comes batch by batch and, as it does after "steps" batches, has not ended by itself; then says where it
 * is, as scnn_fit_progress. */
scnn_status scnn_fit_end_epoch(scnn_fit *fit, scnn_progress *progress);

/* With which epoch and batch it goes on, also before the first step: `results` are those of the last epoch up to there,
 * `learning_rate` is that of the next step. */
scnn_status scnn_fit_progress(scnn_fit *fit, scnn_progress *progress);

/* Ends it. NULL is fine. */
scnn_status scnn_fit_free(scnn_fit *fit);

/* --------------------------------------------------------------------------------------------- building a network */

typedef struct scnn_graph scnn_graph;

/* A tensor of a graph under construction. */
typedef int32_t scnn_value;

/* Draws the `count` values of a weight as Keras's initializers do; its shape is Keras's, with the inputs before the outputs
 * and both last. They are a function of the initializer, the shape and the seed. With NULL and 0 for values and count the
 * initializer alone is checked. It is one of
 *   {"name": "zeros"}, {"name": "ones"}, {"name": "constant", "value": 0}, {"name": "identity", "gain": 1},
 *   {"name": "random_normal", "mean": 0, "stddev": 0.05} and "truncated_normal", cut off at two deviations,
 *   {"name": "random_uniform", "minval": -0.05, "maxval": 0.05}, {"name": "orthogonal", "gain": 1},
 *   {"name": "variance_scaling", "scale": 1, "mode": "fan_in", "distribution": "truncated_normal"}; the modes are "fan_out"
 *       and "fan_avg" too, the distributions "normal" (cut off too), "untruncated_normal" and "uniform",
 *   {"name": "glorot_uniform"}, "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal". */
scnn_status scnn_initial_values(const char *initializer, uint64_t seed, const int64_t *shape, int32_t rank,
                                float *values, size_t count);

scnn_status scnn_graph_create(scnn_graph **graph);
scnn_status scnn_graph_free(scnn_graph *graph);

/* Adds an input of the network; `shape` without the batch, as {height, width, channels}; -1 for a height or width that may
 * be another at every call. A network may have several, which a model then takes in this order. */
scnn_status scnn_graph_input(scnn_graph *graph, const char *name, const int64_t *shape, int32_t rank,
                             scnn_value *value);

/* Adds a layer that reads `operands`, one unless said otherwise. `name` is unique in the graph; NULL makes one of the
 * kind. Kinds and their options (a key without a value is needed; "padding" is "same" or [top, left, bottom, right],
 * none by default; "same" is TensorFlow's: as much as gives ceil(size / stride), an odd row or column at the bottom and
 * right):
 *   with parameters, named name.weight, name.bias...:
 *     "conv2d": "filters", "kernel": [h, w], "stride": [1, 1], "dilation": [1, 1], "groups": 1, "padding",
 *               "bias": false, "initializer"
 *     "depthwise_conv2d": the same with "multiplier": 1 in place of "filters" and "groups"
 *     "conv2d_transpose": "filters", "kernel", "stride", "dilation", "bias", "initializer" as of conv2d; "padding": "valid", or
 *               "same", which makes images "stride" times larger; name.weight is [channels, filters, h, w]
 *     "batch_norm": "epsilon": 1e-5, "momentum": 0.1 (the share of the new batch), "scale": true,
 *               "center": true (whether there are name.weight and name.bias), "unbiased": true (running variance)
 *     "group_norm": "groups": 32 (-1: as many as channels), "epsilon": 1e-3, "scale": true, "center": true
 *     "dense": "units", "bias": true, "initializer"; over the last axis
 *     "prelu": "shared": true, "initializer" (zeros); name.weight is the slope of each channel, or where it is not
 *              shared, of each element of a sample
 *     initializer: "he_normal_fan_out" (default of convolutions), "he_normal_depthwise", "uniform_fan_in" (of dense
 *              layers), "uniform_fan_out", "glorot_uniform", "zeros", "ones"; biases begin with 0
 *   without:
 *     "activation": "function": relu, relu6, silu, sigmoid, hard_swish, hard_sigmoid, gelu, gelu_tanh, tanh, selu,
 *               softplus, softsign, exponential, mish, erf, log; and with constants of their own:
 *               leaky_relu: "alpha": 0.2, "threshold": 0, "maximum" (none): x > threshold ? min(x, maximum)
 *                 : alpha * (x - threshold), which is every form of Keras's ReLU
 *               elu: "alpha": 1; clip: "minimum", "maximum" (none); power: "exponent": 2
 *     "rescaling": "scale": 1, "offset": 0: x * scale + offset, one number or one per channel (the last axis) each
 *     "softmax", "log_softmax": over the last axis
 *     "unit_norm": "axes": [-1]: each vector along the axes divided by its length
 *     "resize": "axis" to another number of elements, "size" or "scale" times as many, "interpolation": "linear", or
 *               "nearest" or "cubic", further options as ONNX's Resize has them: "coordinates", "nearest",
 *               "cubic_coefficient", "exclude_outside", "antialias"
 *     "add", "multiply", "maximum" and "minimum": two operands of one shape, or with sizes of 1 where they differ, which are repeated
 *     "concat": "axis": -1; any number of operands
 *     "pool2d": "kind": "max" or "average", "kernel": [h, w], "stride" (by default the kernel), "padding"; max:
 *               "dilation": [1, 1]; average: "count_include_pad": true
 *     "global_pool2d": "kind", "keep_axes": false (true: height and width stay, as 1)
 *     "reshape": "shape": without the batch, one may be -1 (so [-1] flattens)
 *     "zero_pad": "padding"; "dropout": "rate"; "stochastic_depth": "rate"
 *     "random_flip": "horizontal": true, "vertical": true    of each image by itself; in training only
 *     "random_crop": "height", "width"    a window of each image, at random in training, else the middle
 * "dropout" and "stochastic_depth", which leaves out an image's whole tensor, act in training only. */
scnn_status scnn_graph_layer(scnn_graph *graph, const char *kind, const char *name, const char *options,
                             const scnn_value *operands, size_t operand_count, scnn_value *value);

/* Adds all layers of a model, up to its output or up to the result named `tensor` (may be NULL). `prefix` (NULL: none)
 * is put before the names of its layers and parameters, as "backbone.". The parameters are shared: whatever trains,
 * sets or freezes them through one model does so for the other, and the calls wait for each other as those on one
 * model do.
 * With `inference` not 0 the layers do in training what they do in inference: batch normalisation uses its running
 * statistics, dropout does nothing. The model may be freed. */
scnn_status scnn_graph_apply(scnn_graph *graph, scnn_model *model, const char *prefix, const char *tensor,
                             int32_t inference, scnn_value operand, scnn_value *value);

/* The same with an operand for each input of the model, in their order. */
scnn_status scnn_graph_apply_many(scnn_graph *graph, scnn_model *model, const char *prefix, const char *tensor,
                                  int32_t inference, const scnn_value *operands, size_t operand_count,
                                  scnn_value *value);

/* The shape of a value, with 1 for the batch and -1 for sizes that vary with the input's. */
scnn_status scnn_graph_shape(scnn_graph *graph, scnn_value value, int64_t shape[SCNN_MAX_RANK], int32_t *rank);

/* Makes `output` a further output of the models that are made of this graph from now on. Such a model can be saved,
 * loaded and asked for predictions, but not trained. */
scnn_status scnn_graph_output(scnn_graph *graph, scnn_value output);

/* Makes a model whose output is `output`; layers that it does not need are left out. The graph can be used further.
 * Options: "name": "custom", "seed": 0 (of the random initial values), "mean" and "std" (of the pixels; by default
 * ImageNet's where there are 3 channels, else 0 and 1, which makes pixels 0...1), "preprocessing" and "class_names" as of
 * scnn_model_create (by default as much of a picture's middle as fills the input, and none), "dtype": null (what is
 * computed in, as scnn_model_set_precision takes it; by default that of a model that was applied where it is not float32,
 * and else "float32"), "element_limit": null (how many elements the parameters may
 * have together that are not shared with other models: nothing is allocated beyond). */
scnn_status scnn_graph_model(scnn_graph *graph, scnn_value output, const char *options, scnn_model **model);

#ifdef __cplusplus
}
#endif

#endif /* SWIFTCNN_H */

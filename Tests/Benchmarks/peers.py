#!/usr/bin/env python3
"""The engines whose inference is measured, each at its best settings; run as a program, one of them works.

An engine is made from a `Job` by a function of this file. It says how images become what the engine takes, which is not
timed, and how logits are computed of it, which is. Images and logits are float32 in any precision; in int8 each engine
reads what its own quantiser wrote.
"""

import argparse
import collections
import os
import pathlib
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import startup
import turns

CLASSES = 1000
BATCHES_OF_INPUT = 4  # The inputs vary from call to call.
# What each engine's own quantiser makes; OpenVINO's is NNCF.
INT8_FILES = {"swiftcnn": startup.INT8_FILE, "onnxruntime": ".int8.onnx", "openvino": ".int8.xml",
              "litert": ".int8.tflite"}


class Job(NamedTuple):
    """What an engine computes."""

    model: str
    size: int
    batch: int
    threads: int
    folder: pathlib.Path
    precision: str = "float32"

    def file(self, suffix: str) -> str:
        """A file that `exports.py` made of the model."""
        path = self.folder / f"{self.model}{suffix}"
        if not path.exists():
            raise FileNotFoundError(f"{path.name} was not made")
        return str(path)

    def images(self, number: int) -> Any:
        """The batch of a number, float32 NHWC, the same for every engine. A smaller one begins a larger one."""
        import numpy

        random = numpy.random.default_rng((self.size, number))
        return random.standard_normal((self.batch, self.size, self.size, 3), dtype=numpy.float32)


class Engine(NamedTuple):
    """A network ready to run."""

    prepare: Callable[[Any], Any]
    predict: Callable[[Any], Any]
    version: str
    settings: str


def nchw(images: Any) -> Any:
    """The layout that most peers take, dense."""
    import numpy

    return numpy.ascontiguousarray(images.transpose(0, 3, 1, 2))


def counted(kinds: Iterable[str]) -> str:
    """How many layers there are of each kind."""
    return ", ".join(f"{count} layers in {kind}" for kind, count in collections.Counter(kinds).most_common())


def swiftcnn(job: Job) -> Engine:
    """Ours."""
    sys.path.append(str(turns.ROOT / "bindings" / "python"))
    import swiftcnn

    swiftcnn.set_num_threads(job.threads)
    if job.precision == "int8":
        model = swiftcnn.load_model(job.file(INT8_FILES["swiftcnn"]))
        settings = counted(f"{step.dtype} by {step.instruction}" for step in model.quantization_report().steps)
        return Engine(lambda images: images, model.predict_on_batch, swiftcnn.__version__, settings)
    model = swiftcnn.create_model(
        job.model, weights=job.file(".safetensors"), input_shape=(job.size, job.size, 3), classes=CLASSES,
        classifier_activation=None)
    settings = ""
    if job.precision != "float32":
        model.set_precision(job.precision)
        settings = counted(f"{row.dtype} by {row.instruction}" for row in model.precision())
    return Engine(lambda images: images, model.predict_on_batch, swiftcnn.__version__, settings)


def saved(job: Job) -> Engine:
    """Ours, of a file that `save` wrote."""
    sys.path.append(str(turns.ROOT / "bindings" / "python"))
    import swiftcnn

    swiftcnn.set_num_threads(job.threads)
    model = swiftcnn.load_model(job.file(startup.FLOAT_FILE))
    return Engine(lambda images: images, model.predict_on_batch, swiftcnn.__version__, "")


def onnxruntime(job: Job) -> Engine:
    """ONNX Runtime: all optimisations, the batch known to them, its threads spin between operators."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_free_dimension_override_by_name("batch", job.batch)
    file = job.file(INT8_FILES["onnxruntime"] if job.precision == "int8" else ".onnx")
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return Engine(
        nchw, lambda x: session.run(None, {"images": x})[0], onnxruntime.__version__, "all optimisations, spinning")


# What is asked of it, and what its layers say then; in int8 the former is what becomes of the rest.
OPENVINO_PRECISIONS = {"float32": ("f32", {"f32"}), "bfloat16": ("bf16", {"bf16"}), "int8": ("f32", {"i8", "u8"})}


def openvino(job: Job, streams: int = 1, is_told: bool = True) -> Engine:
    """OpenVINO in the precision; untold, it leaves float32 by itself where the processor has bfloat16.

    In int8 it reads what NNCF made.
    """
    import openvino

    core = openvino.Core()
    model = core.read_model(job.file(INT8_FILES["openvino"] if job.precision == "int8" else ".onnx"))
    part = job.batch // streams
    model.reshape([part, 3, job.size, job.size])
    hint, expected = OPENVINO_PRECISIONS[job.precision]
    compiled = core.compile_model(model, "CPU", {
        "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
        "INFERENCE_NUM_THREADS": job.threads, "NUM_STREAMS": streams,
    } | ({"INFERENCE_PRECISION_HINT": hint} if is_told else {}))
    # Asked of each layer, since a hint is not a promise; some may stay in float32.
    found = [about["runtimePrecision"].value for about in (
                 operation.get_rt_info() for operation in compiled.get_runtime_model().get_ops())
             if about["layerType"].value in ("Convolution", "FullyConnected")]
    if is_told and (not expected & set(found) or set(found) - expected - {"f32"}):
        raise RuntimeError(f"it computes {counted(found)}")
    settings = f"{counted(found)}, {compiled.get_property('INFERENCE_NUM_THREADS')} threads, streams {streams}"
    version = openvino.__version__.split("-")[0]
    requests = [compiled.create_infer_request() for _ in range(streams)]
    if streams == 1:
        def predict(x: Any) -> Any:
            return requests[0].infer([x], share_inputs=True, share_outputs=True)[0]

        return Engine(nchw, predict, version, settings)

    import numpy

    def predict_parts(x: Any) -> Any:
        for index, request in enumerate(requests):
            request.start_async([x[index * part:(index + 1) * part]], share_inputs=True)
        for request in requests:
            request.wait()
        return numpy.concatenate([request.get_output_tensor().data for request in requests])

    return Engine(nchw, predict_parts, version, settings)


def openvino_streams(job: Job) -> Engine:
    """OpenVINO with a stream a thread, each with its part of the batch: what it recommends for throughput."""
    if job.threads == 1 or job.batch % job.threads:
        raise turns.Failure("the batch cannot be divided over the threads")
    return openvino(job, job.threads)


def openvino_default(job: Job) -> Engine:
    """OpenVINO in whatever it takes by itself."""
    return openvino(job, is_told=False)


def litert(job: Job) -> Engine:
    """LiteRT with XNNPACK, one image at a time; its file takes and gives levels."""
    if job.batch > 1:
        raise turns.Failure("its file takes one image")
    from importlib import metadata

    import numpy
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(job.file(INT8_FILES["litert"]), num_threads=job.threads)
    run = interpreter.get_signature_runner()
    (source, taken), = run.get_input_details().items()
    (result, given), = run.get_output_details().items()

    def levels(images: Any) -> Any:
        scale, zero = taken["quantization"]
        return numpy.clip(numpy.rint(images / scale) + zero, -128, 127).astype(numpy.int8)

    def predict(x: Any) -> Any:
        scale, zero = given["quantization"]
        return (run(**{source: x})[result].astype(numpy.float32) - zero) * scale

    return Engine(levels, predict, metadata.version("ai-edge-litert"), "XNNPACK")


def ncnn(job: Job) -> Engine:
    """ncnn, which takes one image at a time: a batch is a loop."""
    import ncnn
    import numpy

    net = ncnn.Net()
    for name in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage", "bf16_packed", "vulkan_compute"):
        if hasattr(net.opt, f"use_{name}"):
            setattr(net.opt, f"use_{name}", False)
    for name in ("winograd_convolution", "sgemm_convolution", "packing_layout"):
        setattr(net.opt, f"use_{name}", True)
    net.opt.num_threads = job.threads
    if net.load_param(job.file(".ncnn.param")) or net.load_model(job.file(".ncnn.bin")):
        raise RuntimeError("it cannot read the model")

    def predict(x: Any) -> Any:
        logits = []
        for image in x:
            extractor = net.create_extractor()
            extractor.input("in0", ncnn.Mat(image))
            status, result = extractor.extract("out0")
            if status:
                raise RuntimeError(f"it failed with status {status}")
            logits.append(numpy.array(result))
        return numpy.stack(logits)

    loop = ", a loop over the images" if job.batch > 1 else ""
    return Engine(nchw, predict, ncnn.__version__, f"Winograd and sgemm{loop}")


def torch(job: Job, is_compiled: bool = False) -> Engine:
    """PyTorch, channels last."""
    sys.path.append(str(turns.ROOT / "Tests" / "Golden"))
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(job.folder / "inductor"))
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # Else it has processes of its own.
    import networks
    import safetensors.torch
    import torch

    torch.set_num_threads(job.threads)
    network = networks.named(job.model, classes=CLASSES)
    network.load_state_dict(safetensors.torch.load_file(job.file(".safetensors")))
    dtype = getattr(torch, job.precision)
    network = network.eval().to(dtype).to(memory_format=torch.channels_last)
    if is_compiled:
        import torch._inductor.config

        torch._inductor.config.freezing = True
        network = torch.compile(network)

    def predict(x: Any) -> Any:
        with torch.no_grad():
            return network(x.to(dtype)).float().numpy()

    return Engine(
        lambda images: torch.from_numpy(images).permute(0, 3, 1, 2), predict, torch.__version__.split("+")[0],
        "torch.compile, frozen, channels last" if is_compiled else "channels last")


def torch_compile(job: Job) -> Engine:
    """PyTorch, compiled with its weights frozen."""
    return torch(job, is_compiled=True)


ENGINES: dict[str, Callable[[Job], Engine]] = {
    "swiftcnn": swiftcnn,
    "saved": saved,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "openvino-streams": openvino_streams,
    "openvino-default": openvino_default,
    "litert": litert,
    "ncnn": ncnn,
    "torch": torch,
    "torch-compile": torch_compile,
}
TITLES = {"swiftcnn": "SwiftCNN", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO",
          "openvino-streams": "OpenVINO, a stream a thread", "openvino-default": "OpenVINO's default",
          "litert": "LiteRT", "ncnn": "ncnn",
          "torch": "PyTorch channels-last", "torch-compile": "torch.compile, frozen"}
# Those of the bars; the others are slower and have to be asked for.
USUAL = ("onnxruntime", "openvino", "openvino-streams", "openvino-default", "litert", "ncnn")
# Those that compute in a precision on these processors.
PEERS_OF = {"float32": ("onnxruntime", "openvino", "openvino-streams", "ncnn", "torch", "torch-compile"),
            "bfloat16": ("openvino", "openvino-streams", "openvino-default", "torch", "torch-compile"),
            "int8": ("onnxruntime", "openvino", "openvino-streams", "openvino-default", "litert")}


def told(engine: str, precision: str) -> tuple[str, str, str]:
    """A row's engine, what it is held to, and its precision.

    In any cell "openvino-float32" computes in that, and "swiftcnn-avx2" with that alone.
    """
    name, _, last = engine.rpartition("-")
    if last in PEERS_OF:
        return name, "", last
    return (name, last, precision) if name == "swiftcnn" else (engine, "", precision)


def difference(engine: Engine, job: Job, prepared: list[Any]) -> float:
    """The largest difference from PyTorch's logits over the largest of those, over all inputs."""
    import numpy

    references = numpy.load(job.file(".logits.npy"))[:, :job.batch]
    largest = 0.0
    for x, reference in zip(prepared, references, strict=True):
        logits = numpy.array(engine.predict(x)).reshape(reference.shape)
        largest = max(largest, float(numpy.abs(logits - reference).max() / numpy.abs(reference).max()))
        if not numpy.isfinite(logits).all():
            return float("inf")
    return largest


def make(name: str, job: Job, second: str | None) -> tuple[Callable[[int], None], dict[str, Any]]:
    """The call of an engine and what is to be said of it.

    Args:
        second: another model in the process, which predicts at the beginning of each turn.
    """
    engine = ENGINES[name](job)
    beside = None
    if second:
        model, size = second.split(":")
        other = Job(model, int(size), 1, job.threads, job.folder, job.precision)
        beside = ENGINES[name](other)
        image = beside.prepare(other.images(0))
    prepared = [engine.prepare(job.images(number)) for number in range(BATCHES_OF_INPUT)]
    about = {"version": engine.version, "settings": engine.settings, "difference": difference(engine, job, prepared)}

    def call(place: int) -> None:
        if beside and place == 0:  # A turn's first call is not counted.
            beside.predict(image)
        engine.predict(prepared[place % len(prepared)])

    return call, about


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("model")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--precision", choices=PEERS_OF, default="float32")
    parser.add_argument("--second", help="another model in the process, as resnet18:224")
    given = parser.parse_args()
    job = Job(given.model, given.size, given.batch, given.threads, given.folder, given.precision)
    turns.serve(lambda: make(given.engine, job, given.second))


if __name__ == "__main__":
    main()

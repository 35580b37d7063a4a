"""torchvision's networks through ONNX files: exported by both of PyTorch's exporters, read here, and compared with PyTorch
in their logits, in what one training step does to the loss, and in time with the same file in ONNX Runtime.

    onnx_families.py [--folder FOLDER] [--time] [NAME...]
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import swiftcnn
import torch
import torchvision

NAMES = [
    "resnet18", "resnet50", "efficientnet_b0", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "densenet121",
    "regnet_y_400mf", "squeezenet1_1", "googlenet", "mnasnet0_5", "convnext_tiny", "shufflenet_v2_x0_5",
]  # fmt: skip

# What PyTorch's newer exporter makes of ConvNeXt's last mean, a view with strides, gathers across the batch.
ONLY_SCRIPT = {"convnext_tiny"}


def network(name: str) -> torch.nn.Module:
    """With statistics and biases that are not 0 and 1, so that what is left out shows."""
    torch.manual_seed(0)
    options = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    module = torchvision.models.get_model(name, weights=None, **options).eval()
    random = torch.Generator().manual_seed(1)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.copy_(torch.randn(part.num_features, generator=random) * 0.1)
            part.running_var.copy_(torch.rand(part.num_features, generator=random) + 0.5)
            part.weight.data.copy_(torch.rand(part.num_features, generator=random) + 0.5)
            part.bias.data.copy_(torch.randn(part.num_features, generator=random) * 0.1)
    return module


def export(module: torch.nn.Module, path: Path, dynamo: bool) -> None:
    x = torch.zeros(2, 3, 224, 224)
    if dynamo:
        options = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)}
    else:
        options = {"dynamic_axes": {"image": {0: "batch"}}, "opset_version": 17}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (x,), str(path), dynamo=dynamo, input_names=["image"], output_names=["logits"], verbose=False, **options
        )


def seconds(call, repeats: int = 20) -> float:
    """The shortest of several runs."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--folder")
    parser.add_argument("--time", action="store_true")
    given = parser.parse_args()
    folder = Path(given.folder or tempfile.mkdtemp())
    worst = 0.0
    for name in given.names or NAMES:
        module = network(name)
        x = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            expected = module(x).numpy()
        images = np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1))
        for dynamo in (False,) if name in ONLY_SCRIPT else (False, True):
            path = folder / f"{name}_{'dynamo' if dynamo else 'script'}.onnx"
            if not path.exists():
                export(module, path, dynamo)
            model = swiftcnn.load_model(path)
            difference = np.abs(model.predict(images, verbose=0) - expected).max() / np.abs(expected).max()
            worst = max(worst, difference)
            line = f"{name:20} {'dynamo' if dynamo else 'script'}  {difference:.1e} of the largest logit"
            if given.time:
                import onnxruntime

                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = swiftcnn.get_num_threads()
                session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
                one, turned = images[:1], x.numpy()[:1]
                model.predict(one, verbose=0)
                here = seconds(lambda: model.predict(one, verbose=0))
                there = seconds(lambda: session.run(None, {"image": turned}))
                line += f"  {here * 1e3:.1f} ms, ONNX Runtime {there * 1e3:.1f}"
            labels = np.array([1, 2, 3])
            loss = swiftcnn.losses.SparseCategoricalCrossentropy(from_logits=True)
            # A short step down the slope, however steep that is: folded normalisations leave the networks wild.
            model.compile(swiftcnn.optimizers.SGD(1.0, global_clipnorm=1e-4), loss)
            small = model.train_on_batch(images, labels), model.train_on_batch(images, labels)
            values = [float(np.ravel(value)[0]) for value in small]
            print(f"{line}  loss {values[0]:.4f} -> {values[1]:.4f}", flush=True)
            assert difference <= 1e-5, name
            assert values[1] < values[0], f"{name} does not train"
    print(f"all agree: at most {worst:.1e} of the largest logit")


if __name__ == "__main__":
    main()

"""Golden files: safetensors of float32 and int32, with one JSON document in the metadata under the key `golden`; or the
document alone, as a JSON file."""

import importlib.metadata
import json
import platform

import numpy
import safetensors
import safetensors.numpy
import torch

import networks

LARGEST_DIFFERENCE = 1e-6  # relative to the largest element of the tensor


def versions():
    """The versions of everything that had a part in the values."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": networks.torchvision().__version__,
        "timm": networks.timm().__version__,
        "numpy": numpy.__version__,
        "safetensors": safetensors.__version__,
        "keras": importlib.metadata.version("keras"),
    }


def array(tensor):
    """The tensor as a contiguous NumPy array: float32 rounded from float64 once, int32 for whole numbers."""
    values = tensor.detach().numpy() if isinstance(tensor, torch.Tensor) else numpy.asarray(tensor)
    whole = numpy.issubdtype(values.dtype, numpy.integer)
    return numpy.ascontiguousarray(values, dtype=numpy.int32 if whole else numpy.float32).reshape(values.shape)


def write(path, tensors, document):
    """Writes the tensors and the document, with the versions added; for a JSON file the document alone."""
    document = {"versions": versions(), **document}
    if path.suffix == ".json":
        path.write_text(text(document) + "\n")
        return f"{path.name}: {path.stat().st_size} bytes"
    arrays = {name: array(tensor) for name, tensor in tensors.items()}
    safetensors.numpy.save_file(arrays, path, metadata={"golden": json.dumps(document, sort_keys=True)})
    path.chmod(0o644)  # safetensors leaves it readable by its owner alone
    return f"{path.name}: {len(arrays)} tensors, {path.stat().st_size} bytes"


def text(value, indent=0):
    """JSON with a line for each member of an object, and arrays on one line."""
    if not isinstance(value, dict):
        return json.dumps(value)
    inside = "\n" + " " * (indent + 2)
    members = [f"{json.dumps(key)}: {text(member, indent + 2)}" for key, member in value.items()]
    return "{" + inside + ("," + inside).join(members) + "\n" + " " * indent + "}" if members else "{}"


def read(path):
    """The tensors and the document of a golden file."""
    if path.suffix == ".json":
        return {}, json.loads(path.read_text())
    with safetensors.safe_open(path, framework="np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["golden"])


def close(old, new, limit):
    """Whether two values of JSON are the same, float numbers within a limit relative to each."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(close(old[key], new[key], limit) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(close(a, b, limit) for a, b in zip(old, new))
    if isinstance(old, float) and isinstance(new, float):
        return old == new or abs(old - new) <= limit * abs(old)
    return old == new


def differences(path, tensors, document):
    """Everything in which the file is not what would be written now, as lines of text.

    Versions and what was measured may differ."""
    if not path.exists():
        return [f"{path.name} does not exist"]
    stored, stored_document = read(path)
    for key in ("versions", "measured"):
        stored_document.pop(key, None)
    found = []
    document = {key: value for key, value in json.loads(json.dumps(document)).items() if key != "measured"}
    if not close(stored_document, document, document.get("tolerance", 0.0)):
        found.append(f"{path.name}: the document differs")
    for name in sorted(stored.keys() ^ tensors.keys()):
        found.append(f"{path.name}: {name} is only in the {'file' if name in stored else 'script'}")
    for name in sorted(stored.keys() & tensors.keys()):
        old, new = stored[name], array(tensors[name])
        if old.shape != new.shape or old.dtype != new.dtype:
            found.append(f"{path.name}: {name} is {old.dtype} {old.shape}, now {new.dtype} {new.shape}")
        elif old.size:
            difference = float(numpy.abs(old.astype(numpy.float64) - new).max())
            limit = LARGEST_DIFFERENCE * float(numpy.abs(old.astype(numpy.float64)).max())
            if not difference <= (limit if old.dtype == numpy.float32 else 0):
                found.append(f"{path.name}: {name} differs by {difference:.3g}, allowed {limit:.3g}")
    return found

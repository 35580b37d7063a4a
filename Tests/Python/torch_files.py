"""Files as `torch.save` writes them, made without PyTorch."""

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np

KINDS = {"float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "int64": "LongStorage"}


def _function(module, name):
    function = types.FunctionType((lambda *_: None).__code__, {})
    function.__module__, function.__qualname__, function.__name__ = module, name, name
    return function


class Tensor:
    """An array that is pickled as PyTorch's tensor."""

    def __init__(self, array):
        self.array = np.asarray(array)
        if self.array.ndim:
            self.array = np.ascontiguousarray(self.array)

    def __reduce__(self):
        array = self.array
        strides = tuple(stride // array.itemsize for stride in array.strides)
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (Storage(self), 0, array.shape, strides, False, OrderedDict())


class Storage:
    """What a tensor's elements lie in."""

    def __init__(self, tensor):
        self.tensor = tensor


class _Pickler(pickle.Pickler):
    def __init__(self, file, protocol):
        super().__init__(file, protocol)
        self.tensors = {}

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        key = self.tensors.setdefault(id(value.tensor), (str(len(self.tensors)), value.tensor))[0]
        array = value.tensor.array
        return "storage", getattr(sys.modules["torch"], KINDS[str(array.dtype)]), key, "cpu", array.size


def save(value, path, protocol=2, folder="archive"):
    """Writes `value`, in which tensors are `Tensor`s."""
    names = ("torch", "torch._utils")
    modules = {name: types.ModuleType(name) for name in names}
    modules["torch._utils"]._rebuild_tensor_v2 = _function("torch._utils", "_rebuild_tensor_v2")
    for kind in KINDS.values():
        setattr(modules["torch"], kind, type(kind, (), {"__module__": "torch", "__qualname__": kind}))
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(modules)
    try:
        file = io.BytesIO()
        pickler = _Pickler(file, protocol)
        pickler.dump(value)
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{folder}/data.pkl", file.getvalue())
        archive.writestr(f"{folder}/byteorder", "little")
        for key, tensor in pickler.tensors.values():
            archive.writestr(f"{folder}/data/{key}", tensor.array.tobytes())
        archive.writestr(f"{folder}/version", "3\n")
    return path


def state(model, prefix="", factor=1.0):
    """The model's parameters, multiplied, as a `state_dict` of PyTorch has them, with its counters of batches."""
    result = OrderedDict()
    for name, value in model.state_dict().items():
        result[prefix + name] = Tensor(value * np.float32(factor))
        if name.endswith("running_var"):
            result[prefix + name.replace("running_var", "num_batches_tracked")] = Tensor(np.int64(3))
    return result

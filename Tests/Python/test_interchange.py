"""Arrays of other libraries: by DLPack, the buffer protocol and ``__array__``, taken without a copy and given away."""

import array
import ctypes
import gc
import importlib.util
import sys

import numpy as np
import pytest
import swiftcnn
from swiftcnn import _arrays, layers

from conftest import make_model

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")

CPU, CUDA = 1, 2
INT, UINT, FLOAT, BFLOAT, COMPLEX, BOOL = 0, 1, 2, 4, 5, 6


class Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p), ("device", ctypes.c_int32), ("number", ctypes.c_int32), ("ndim", ctypes.c_int32),
        ("kind", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]  # fmt: skip


class Unversioned(ctypes.Structure):
    _fields_ = [("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p), ("flags", ctypes.c_uint64), ("tensor", Tensor),
    ]  # fmt: skip


new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype = ctypes.py_object
new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
name_of_capsule = ctypes.pythonapi.PyCapsule_GetName
name_of_capsule.restype = ctypes.c_char_p
name_of_capsule.argtypes = [ctypes.py_object]


class Producer:
    """A tensor of six float32 numbers in C, and whatever is said of it; counts how often it is let go of."""

    def __init__(self, *, version=None, flags=0, name=None, **fields):
        self.values = (ctypes.c_float * 6)(*range(6))
        self.deleted = 0
        self.deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._delete)
        given = {
            "data": ctypes.addressof(self.values), "device": CPU, "ndim": 2, "kind": FLOAT, "bits": 32, "lanes": 1,
            "shape": (2, 3), "strides": None, "byte_offset": 0,
        } | fields  # fmt: skip
        for key in ("shape", "strides"):
            if given[key] is not None:
                given[key] = ctypes.cast((ctypes.c_int64 * max(1, len(given[key])))(*given[key]),
                                         ctypes.POINTER(ctypes.c_int64))
        self.managed = Unversioned() if version is None else Versioned()
        if version is not None:
            self.managed.major, self.managed.minor = version
            self.managed.flags = flags
        for key, value in given.items():
            setattr(self.managed.tensor, key, value)
        self.managed.deleter = ctypes.cast(self.deleter, ctypes.c_void_p).value
        self.name = name or (b"dltensor" if version is None else b"dltensor_versioned")

    def _delete(self, managed):
        assert managed == ctypes.addressof(self.managed)
        self.deleted += 1

    def capsule(self):
        return new_capsule(ctypes.addressof(self.managed), self.name, None)

    def __dlpack_device__(self):
        return (CPU, 0)

    def __dlpack__(self, **arguments):
        return self.capsule()


class Wrapped:
    """Speaks DLPack, and nothing else, for a NumPy array."""

    def __init__(self, values, device=(CPU, 0)):
        self.values = values
        self.device = device

    def __dlpack__(self, **arguments):
        return self.values.__dlpack__(**arguments)

    def __dlpack_device__(self):
        return self.device


class Old(Wrapped):
    """The same, as it was before version 1."""

    def __dlpack__(self, stream=None):
        return self.values.__dlpack__()


@pytest.mark.parametrize("kind", [Wrapped, Old])
@pytest.mark.parametrize(
    "values",
    [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4).transpose(2, 0, 1),
        np.arange(24, dtype=np.int64).reshape(2, 3, 4)[:, ::-2, 1:],
        np.zeros((0, 3), np.float64),
        np.broadcast_to(np.arange(3, dtype=np.int16), (4, 3)).copy(),
        np.array(2.5, np.float16),
    ],
    ids=lambda values: f"{values.dtype}{values.shape}",
)
def test_what_speaks_dlpack_is_taken_without_a_copy(kind, values):
    before = sys.getrefcount(values)
    result = swiftcnn.from_dlpack(kind(values))
    assert type(result) is np.ndarray and result.dtype == values.dtype
    np.testing.assert_array_equal(result, values, strict=True)
    assert values.size == 0 or (np.shares_memory(result, values) and result.strides == values.strides)
    assert sys.getrefcount(values) == before + 1
    del result
    assert sys.getrefcount(values) == before


@pytest.mark.parametrize("version", [None, (1, 0), (1, 7)])
def test_memory_is_let_go_of_once_and_when_nobody_needs_it(version):
    producer = Producer(version=version)
    capsule = producer.capsule()
    result = swiftcnn.from_dlpack(capsule)
    np.testing.assert_array_equal(result, [[0, 1, 2], [3, 4, 5]])
    part = result[1:, ::2]
    assert name_of_capsule(capsule).startswith(b"used_dltensor")
    del capsule, result
    gc.collect()
    assert producer.deleted == 0 and part.tolist() == [[3, 5]]
    del part
    gc.collect()
    assert producer.deleted == 1


def test_what_must_not_be_written_is_not():
    assert swiftcnn.from_dlpack(Producer(version=(1, 0))).flags.writeable
    assert not swiftcnn.from_dlpack(Producer(version=(1, 0), flags=1)).flags.writeable
    assert not swiftcnn.from_dlpack(Producer()).flags.writeable  # too old to say
    copy = swiftcnn.from_dlpack(Producer(), copy=True)
    assert copy.flags.writeable and copy.base is None


def test_strides_and_offset_are_in_elements_and_bytes():
    result = swiftcnn.from_dlpack(Producer(shape=(2, 2), strides=(-3, 2), byte_offset=12))
    assert result.tolist() == [[3, 5], [0, 2]]
    assert swiftcnn.from_dlpack(Producer(shape=(), ndim=0, byte_offset=8)).tolist() == 2
    assert swiftcnn.from_dlpack(Producer(shape=(4, 1), strides=(0, 2**62))).tolist() == [[0]] * 4


@pytest.mark.parametrize("kind,bits,dtype", [
    (BOOL, 8, "bool"), (INT, 8, "int8"), (INT, 16, "int16"), (INT, 32, "int32"), (INT, 64, "int64"), (UINT, 8, "uint8"),
    (UINT, 16, "uint16"), (UINT, 32, "uint32"), (UINT, 64, "uint64"), (FLOAT, 16, "float16"), (FLOAT, 32, "float32"),
    (FLOAT, 64, "float64"),
])  # fmt: skip
def test_elements_are_what_they_are_said_to_be(kind, bits, dtype):
    producer = Producer(kind=kind, bits=bits, shape=(3,), ndim=1)
    result = swiftcnn.from_dlpack(producer)
    assert result.dtype == dtype and result.tobytes() == bytes(producer.values)[: 3 * bits // 8]


HOSTILE = {
    "an ndim below 0": ({"ndim": -1}, "ndim -1"),
    "an ndim beyond all": ({"ndim": 2**31 - 1}, "ndim 2147483647"),
    "an ndim of 33": ({"ndim": 33}, "ndim 33"),
    "no shape": ({"shape": None}, "none for ndim 2"),
    "a size below 0": ({"shape": (2, -3)}, r"shape\[1\] = -3"),
    "a size beyond memory": ({"shape": (2**62, 2**62)}, "beyond the memory"),
    "a size beyond memory, with strides": ({"shape": (2**62, 2), "strides": (2, 1)}, "beyond the memory"),
    "strides beyond memory": ({"strides": (2**62, 1)}, "beyond the memory"),
    "steps beyond memory": ({"shape": (2, 2**40), "strides": (1, 2**40)}, "beyond the memory"),
    "no memory": ({"data": None}, "no memory"),
    "an offset beyond memory": ({"byte_offset": 2**64 - 1}, "byte_offset"),
    "another device": ({"device": CUDA}, "device type 2"),
    "complex numbers": ({"kind": COMPLEX, "bits": 64}, "complex64"),
    "bfloat8": ({"kind": BFLOAT, "bits": 8}, "bfloat8"),
    "vectors of bfloat16": ({"kind": BFLOAT, "bits": 16, "lanes": 2}, "several"),
    "float8": ({"kind": 10, "bits": 8}, "narrow float8"),
    "float128": ({"bits": 128}, "float128"),
    "an unknown kind": ({"kind": 255}, "narrow float32"),
    "4-bit integers": ({"kind": INT, "bits": 4}, "int4"),
    "pointers": ({"kind": 3, "bits": 64}, "handle64"),
    "vectors": ({"lanes": 4}, "several"),
    "an older version": ({"version": (0, 8)}, "version 0.8"),
    "a later version": ({"version": (2, 0), "ndim": -1}, "version 2.0"),
    "another name": ({"name": b"tensor"}, "named 'tensor'"),
    "a used capsule": ({"name": b"used_dltensor"}, "used up"),
    "a used capsule of version 1": ({"name": b"used_dltensor_versioned", "version": (1, 0)}, "used up"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_tensor_with_lies_is_refused_and_stays_with_its_owner(case):
    fields, message = HOSTILE[case]
    producer = Producer(**fields)
    capsule = producer.capsule()
    with pytest.raises(ValueError, match=f"^x: .*{message}"):
        swiftcnn.from_dlpack(capsule)
    assert name_of_capsule(capsule) == producer.name and producer.deleted == 0
    with pytest.raises(ValueError, match=f"^x: .*{message}"):
        make_model().predict(producer, verbose=0)


class Rounded(Producer):
    """Numbers rounded to bfloat16, which NumPy has not, in rows that are further apart than they are long."""

    def __init__(self, values, version=None):
        self.expected = (values.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
        self.rows = np.zeros((*values.shape[:-1], values.shape[-1] + 1), np.uint16)
        self.rows[..., :-1] = self.expected.view(np.uint32) >> 16
        super().__init__(
            version=version, data=self.rows.ctypes.data, ndim=values.ndim, kind=BFLOAT, bits=16, shape=values.shape,
            strides=[stride // 2 for stride in self.rows.strides],
        )  # fmt: skip


@pytest.mark.parametrize("version", [None, (1, 0)])
def test_bfloat16_becomes_float32_wherever_arrays_are_taken(version):
    x = Rounded(np.random.default_rng(0).random((4, 8, 8, 1)), version)
    assert not np.array_equal(x.expected, np.random.default_rng(0).random((4, 8, 8, 1)).astype(np.float32))
    np.testing.assert_array_equal(_arrays.numeric(x, "x"), x.expected, strict=True)
    assert x.deleted == 1
    model = make_model()
    np.testing.assert_array_equal(model.predict(x, verbose=0), model.predict(x.expected, verbose=0))
    parts = [Rounded(part, version) for part in x.expected]
    np.testing.assert_array_equal(model.predict(parts, verbose=0), model.predict(x.expected, verbose=0))
    model.compile("sgd", "mse")
    y = Rounded(np.full((4, 10), 0.3), version)
    assert model.evaluate(x, y, verbose=0) == model.evaluate(x, np.full((4, 10), 0.298828125), verbose=0)
    weights = [Rounded(weight, version) for weight in model.get_weights()]
    model.set_weights(weights)
    for after, given in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(after, given.expected)
    number = _arrays.numeric(Rounded(np.array([[2.5]]), version), "x")[0, 0]
    assert number == 2.5 and number.dtype == np.float32


def test_bfloat16_cannot_be_shared_and_stays_with_its_owner():
    producer = Producer(kind=BFLOAT, bits=16)
    capsule = producer.capsule()
    with pytest.raises(TypeError, match=r"^x: .*bfloat16"):
        swiftcnn.from_dlpack(capsule)
    assert name_of_capsule(capsule) == producer.name and producer.deleted == 0


def test_half_precision_is_taken_by_dlpack_and_as_arrays():
    x = np.random.default_rng(0).random((4, 8, 8, 1)).astype(np.float16)
    model = make_model()
    expected = model.predict(x.astype(np.float32), verbose=0)
    for given in (x, Wrapped(x), Old(x), memoryview(x), list(x)):
        np.testing.assert_array_equal(model.predict(given, verbose=0), expected)


@pytest.mark.skipif(importlib.util.find_spec("ml_dtypes") is None, reason="ml_dtypes is not installed")
def test_arrays_of_ml_dtypes_are_taken():
    import ml_dtypes

    x = np.random.default_rng(0).random((4, 8, 8, 1)).astype(ml_dtypes.bfloat16)
    model = make_model()
    expected = model.predict(x.astype(np.float32), verbose=0)
    for given in (x, list(x), x.tolist()):
        np.testing.assert_array_equal(model.predict(given, verbose=0), expected)
    with pytest.raises(TypeError, match="cast it to float32"):
        model.predict(x.astype(ml_dtypes.float8_e4m3), verbose=0)


def test_a_capsule_is_taken_once():
    capsule = np.ones(3).__dlpack__()
    swiftcnn.from_dlpack(capsule)
    with pytest.raises(ValueError, match="used up"):
        swiftcnn.from_dlpack(capsule)
    with pytest.raises(ValueError):
        np.from_dlpack(Fixed(capsule))


class Fixed(Producer):
    """Gives what it was given."""

    def __init__(self, given, device=(CPU, 0)):
        self.given, self.device = given, device

    def __dlpack__(self, **arguments):
        return self.given

    def __dlpack_device__(self):
        return self.device


@pytest.mark.parametrize("given", [None, 3, np.ones(3), "dltensor"])
def test_what_is_no_capsule_is_refused(given):
    with pytest.raises(TypeError, match="^x: expected a DLPack capsule, got an object of type"):
        swiftcnn.from_dlpack(Fixed(given))
    if not isinstance(given, np.ndarray):
        with pytest.raises(TypeError, match="x must be an object with __dlpack__"):
            swiftcnn.from_dlpack(given)


def test_what_is_on_another_device_is_refused_with_its_name():
    model, x = make_model(), np.zeros((2, 8, 8, 1), np.float32)
    for device, name in (((2, 1), "cuda:1"), ((8, 0), "metal:0"), ((99, 3), "type 99:3")):
        with pytest.raises(ValueError, match=f"x must be in the memory of the CPU, got Wrapped on device {name}"):
            model.predict(Wrapped(x, device), verbose=0)
    with pytest.raises(TypeError, match=r"y must be in the memory of the CPU.*cuda:0"):
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(x, Wrapped(np.zeros(2, int), (2, 0)), verbose=0)
    with pytest.raises(ValueError, match="does not say where it is"):
        model.predict(Wrapped(x, None), verbose=0)
    with pytest.raises(ValueError, match="device must be None or 'cpu'"):
        swiftcnn.from_dlpack(x, device="cuda")
    assert np.shares_memory(swiftcnn.from_dlpack(Wrapped(x, (3, 0)), device="cpu"), x)  # pinned for a GPU


def test_whatever_goes_wrong_in_another_library_is_told_with_the_argument():
    class Broken(Wrapped):
        def __dlpack__(self, **arguments):
            raise RuntimeError("out of tensors")

    with pytest.raises(ValueError, match=r"^x: Broken.__dlpack__ failed: out of tensors"):
        make_model().predict(Broken(np.zeros((1, 8, 8, 1))), verbose=0)

    class Both(Broken):
        def __array__(self, dtype=None, copy=None):
            return self.values

    assert make_model().predict(Both(np.zeros((1, 8, 8, 1))), verbose=0).shape == (1, 10)


def test_every_method_takes_arrays_of_others(data):
    x, y = data
    x, y = x.astype(np.float32), y.astype(np.int32)
    weight = np.linspace(0.5, 1, len(y), dtype=np.float32)

    def work(wrap):
        model = make_model()
        model.compile("sgd", "sparse_categorical_crossentropy")
        results = [model.fit(wrap(x), wrap(y), sample_weight=wrap(weight), validation_data=(wrap(x), wrap(y)),
                             verbose=0).history]
        results.append(model.train_on_batch(wrap(x), wrap(y), wrap(weight)))
        results.append(model.test_on_batch(wrap(x), wrap(y)))
        results.append(model.evaluate(wrap(x), wrap(y), verbose=0))
        results.append(model.fit([(wrap(x), wrap(y))], verbose=0).history)
        results.append(model.fit(iter([[wrap(x), wrap(y)]]), verbose=0).history)
        results.append(model.predict(wrap(x), verbose=0).tolist())
        results.append(model.predict([(wrap(x), wrap(y))], verbose=0).tolist())
        results.append(model.predict(wrap(x)[0:2] if wrap is np.asarray else [wrap(x[0]), wrap(x[1])]).tolist())
        results.append(model.predict_on_batch(wrap(x)).tolist())
        other = make_model(seed=3)
        other.set_weights([wrap(each) for each in model.get_weights()])
        other.load_state_dict({name: wrap(value) for name, value in other.state_dict().items()})
        other.set_parameter("fc.bias", wrap(np.arange(10, dtype=np.float32)))
        results.append(other.predict(wrap(x), verbose=0).tolist())
        results.append(layers.Dense(2, kernel_initializer="ones")(wrap(weight[None])).tolist())
        results.append(swiftcnn.losses.mean_squared_error(wrap(weight), wrap(weight[::-1].copy())).tolist())
        return results

    assert work(Wrapped) == work(np.asarray)


def test_dense_memory_of_others_reaches_the_library_as_it_is():
    x, labels = np.zeros((3, 8, 8, 1), np.float32), np.zeros(3, np.int32)
    assert np.shares_memory(_arrays.samples(Wrapped(x), make_model()._handle), x)
    assert np.shares_memory(_arrays.targets(Wrapped(labels), (3, 10)), labels)
    pixels = bytearray(64)
    view = memoryview(pixels).cast("B", (1, 8, 8, 1))
    result = _arrays.samples(view, make_model()._handle)
    pixels[5] = 7
    assert result[0, 0, 5, 0] == 7 and result.dtype == np.uint8


def test_buffers_are_arrays(data):
    x, y = data
    model = make_model()
    model.compile("sgd", "sparse_categorical_crossentropy")
    expected = model.evaluate(x, y, sample_weight=np.ones(len(y)), verbose=0)
    buffers = (memoryview(x.tobytes()).cast("B", x.shape), array.array("q", y.tolist()), array.array("d", [1.0] * len(y)))
    assert model.evaluate(*buffers[:2], sample_weight=buffers[2], verbose=0) == expected
    layer = layers.Dense(3)
    layer.build((None, 2))
    layer.set_weights([memoryview(array.array("f", range(6)).tobytes()).cast("f", (2, 3)), array.array("f", [1, 2, 3])])
    assert layer.kernel.numpy().tolist() == [[0, 1, 2], [3, 4, 5]] and layer.bias.numpy().tolist() == [1, 2, 3]
    half = (ctypes.c_float * 3)(5, 6, 7)
    layer.bias.assign(half)
    assert layer.bias.numpy().tolist() == [5, 6, 7]


# ------------------------------------------------------------------------------------------------------ what is given


@pytest.fixture
def kernel():
    layer = layers.Dense(3)
    layer.build((None, 2))
    return layer.kernel


def test_weights_are_given_as_copies(kernel):
    value = kernel.numpy()
    for copy in (np.asarray(kernel), np.array(kernel), np.from_dlpack(kernel), swiftcnn.from_dlpack(kernel)):
        np.testing.assert_array_equal(copy, value)
        assert copy.dtype == np.float32
    copy = np.asarray(kernel)
    copy += 1
    np.testing.assert_array_equal(kernel.numpy(), value)
    assert np.asarray(kernel, np.float64).dtype == np.float64
    assert kernel.__dlpack_device__() == (CPU, 0)
    with pytest.raises(TypeError):
        memoryview(kernel)  # whose memory would be another's


def test_weights_are_given_in_the_version_that_is_asked_for(kernel):
    for version, name in (
        (None, b"dltensor"), ((0, 8), b"dltensor"), ((1, 0), b"dltensor_versioned"), ((2, 1), b"dltensor_versioned"),
    ):  # fmt: skip
        capsule = kernel.__dlpack__(max_version=version, dl_device=(1, 0), copy=True, stream=None)
        assert name_of_capsule(capsule) == name
        np.testing.assert_array_equal(swiftcnn.from_dlpack(capsule), kernel.numpy())
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsule = kernel.__dlpack__(max_version=(1, 1))
    given = Versioned.from_address(pointer(capsule, b"dltensor_versioned"))
    assert (given.major, given.flags, given.tensor.ndim) == (1, 2, 2)  # a copy, not read-only
    assert (list(given.tensor.shape[:2]), list(given.tensor.strides[:2])) == ([2, 3], [3, 1])


@pytest.mark.parametrize("arguments", [{"copy": False}, {"stream": 1}, {"dl_device": (2, 0)}])
def test_what_cannot_be_given_is_refused(kernel, arguments):
    with pytest.raises(BufferError):
        kernel.__dlpack__(**arguments)


def test_numpy_is_refused_what_needs_no_copy(kernel):
    with pytest.raises(ValueError, match="without a copy"):
        kernel.__array__(copy=False)
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        with pytest.raises(ValueError, match="without a copy"):
            np.asarray(kernel, copy=False)


def test_capsules_that_nobody_takes_are_freed(kernel, run_python):
    output = run_python(
        """
import swiftcnn, resource
layer = swiftcnn.layers.Dense(1000)
layer.build((None, 1000))
def work(count):
    for index in range(count):
        capsule = layer.kernel.__dlpack__(max_version=(1, 0) if index % 2 else None)
        if index % 3:
            swiftcnn.from_dlpack(capsule)
work(5)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
work(60)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000)
"""
    )
    assert output == "True\n"


def test_what_has_no_values_is_not_an_array():
    tensor = layers.Input((8, 8, 1))
    assert not hasattr(tensor, "__dlpack__")
    for read in (np.asarray, make_model().predict):
        with pytest.raises(TypeError, match="no values yet"):
            read(tensor)


# ------------------------------------------------------------------------------------------------------------- torch


@needs_torch
def test_tensors_of_torch_come_and_go_without_a_copy(data):
    import torch

    x, y = torch.rand(4, 8, 8, 1), torch.arange(4)
    assert np.shares_memory(_arrays.samples(x, make_model()._handle), x.numpy())
    shared = swiftcnn.from_dlpack(x)
    x[0, 0, 0, 0] = 9
    assert shared[0, 0, 0, 0] == 9
    model = make_model()
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert model.train_on_batch(x, y) == make_trained(x.numpy(), y.numpy())
    channels_last = torch.rand(4, 1, 8, 8).to(memory_format=torch.channels_last).permute(0, 2, 3, 1)
    assert np.shares_memory(_arrays.samples(channels_last, make_model()._handle), channels_last.numpy())
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=2)
    assert np.isfinite(model.fit(loader, verbose=0).history["loss"][0])
    kernel = torch.from_dlpack(model.layers[1].weights[0])
    assert tuple(kernel.shape) == model.layers[1].weights[0].shape
    assert torch.from_dlpack(model.predict(x, verbose=0)).shape == (4, 10)


def make_trained(x, y):
    model = make_model()
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model.train_on_batch(x, y)


@needs_torch
def test_tensors_of_torch_that_cannot_be_read_say_why():
    import torch

    x = torch.rand(2, 8, 8, 1)
    model = make_model()
    for wrong, message in (
        (x.clone().requires_grad_(), "require.* grad"),
        (x.to("meta"), "memory of the CPU"),
        (x.to(torch.complex64), "numbers|complex64"),
        (x.to_sparse(), "strided|layout"),
        ([x[0], x[1].to_sparse()], r"x\[1\].*(strided|layout)"),
    ):
        with pytest.raises(TypeError, match=message):
            model.predict(wrong, verbose=0)


@needs_torch
def test_a_state_dict_of_torch_is_taken_as_it_is():
    import torch

    model = make_model()
    state = {name: torch.from_numpy(value) + 1 for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    np.testing.assert_array_equal(model.get_parameter("fc.bias"), state["fc.bias"].numpy())


@needs_jax
def test_arrays_of_jax_come_and_go():
    import jax.numpy as jnp

    x = jnp.asarray(np.random.default_rng(0).random((4, 8, 8, 1), np.float32))
    assert _arrays.samples(x, make_model()._handle).ctypes.data == x.unsafe_buffer_pointer()
    assert not swiftcnn.from_dlpack(x).flags.writeable
    model = make_model()
    np.testing.assert_array_equal(model.predict(x, verbose=0), model.predict(np.asarray(x), verbose=0))
    rounded = x.astype(jnp.bfloat16)
    np.testing.assert_array_equal(
        model.predict(rounded, verbose=0), model.predict(np.asarray(rounded, np.float32), verbose=0)
    )
    assert jnp.from_dlpack(model.layers[1].weights[0]).shape == model.layers[1].weights[0].shape

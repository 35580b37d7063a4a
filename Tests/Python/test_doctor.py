"""`python -m swiftcnn` says what is used, and by its status whether something makes it slow or fail."""

import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys

import pytest
import swiftcnn
from sandbox import FORBID_EXECUTABLE_MEMORY

PACKAGE = pathlib.Path(swiftcnn.__file__).parent


def report(*arguments, path=PACKAGE.parent, **environment):
    """The status of the command and what it writes."""
    done = subprocess.run(
        [sys.executable, "-m", "swiftcnn", *arguments],
        env=os.environ | {"PYTHONPATH": str(path)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def json_report(**options):
    status, text = report("--json", **options)
    return status, json.loads(text)


def test_text_and_json_say_the_same():
    _, text = report()
    _, values = json_report()
    first, *rows = text.splitlines()
    table = {row[:13].strip(): row[13:] for row in rows}
    assert first == f"SwiftCNN {swiftcnn.__version__}, {PACKAGE / 'libswiftcnn.so.0'}"
    assert values["version"] == swiftcnn.__version__
    assert values["file"] == str(PACKAGE / "libswiftcnn.so.0")
    assert table["processor"] == (values["processor"] or "not known")
    assert table["features"].split() == values["features"] or not values["features"]
    assert values["instruction_set"] in table["kernels"]
    assert table["threads"].split(",")[0] == str(values["threads"]) == str(swiftcnn.get_num_threads())
    assert table["tiles"].split(":")[0] == (
        "granted" if values["tiles"] else "refused" if values["tile_refusal"] else "none that is used"
    )
    assert table["code memory"] == "granted" and values["executable_memory"]
    assert table["Python"].startswith(platform.python_version()) and values["python"] == platform.python_version()
    for name in ("OpenBLAS", "JPEG", "PNG", "ONNX"):
        found = values["libraries"][name]
        assert table[name] == found if found else table[name].startswith("not found: ")
    assert values["libraries"]["ONNX"] == str(PACKAGE / "libswiftcnn_onnx.so.0")


def test_the_processor_is_the_one_that_the_system_tells_of():
    _, values = json_report()
    with open("/proc/cpuinfo") as file:
        told = dict(line.split(":", 1) for line in file.read().split("\n\n")[0].splitlines())
    told = {key.strip(): value.strip() for key, value in told.items()}
    if "flags" not in told or not values["features"]:
        pytest.skip("not a processor for which code is generated")
    assert values["processor"].split() == told["model name"].split()
    assert set(values["features"]) - {"avx512"} <= set(told["flags"].split())
    assert ("avx512" in values["features"]) == ("avx512vl" in told["flags"].split())


def test_what_the_environment_asks_for_is_said():
    _, values = json_report(SWIFTCNN_BLAS="none", SWIFTCNN_PIN="0")
    assert values["libraries"]["OpenBLAS"] is None and values["thread_pinning"] is False
    _, text = report(SWIFTCNN_BLAS="none", SWIFTCNN_PIN="0")
    assert "SWIFTCNN_BLAS=none" in text and "not bound" in text


def test_a_word_of_the_environment_that_is_not_known_is_reported_once():
    code = "import numpy, swiftcnn; swiftcnn.create_model('resnet20').predict(numpy.zeros((1, 32, 32, 3), 'uint8'))"
    wrong = {"ISA": "AVX9", "VERBOSE": "placements", "PIN": "yes", "VERIFY": "on", "JIT_PERF": "2", "JIT_GDB": "no"}
    environment = {f"SWIFTCNN_{name}": word for name, word in wrong.items()}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    said = [line for line in done.stderr.splitlines() if line.startswith("swiftcnn: ")]
    assert sorted(line.split(";")[0] for line in said) == sorted(
        f"swiftcnn: {name} is {word!r}" for name, word in environment.items()
    )
    (isa,) = (line for line in said if "SWIFTCNN_ISA" in line)
    *names, last = isa.split("; ")[1].split(" is needed")[0].replace(" or ", ", ").split(", ")
    _check_texts([*names, last])


def _check_texts(names):
    """Texts list the sets of instructions that there are, and no others."""
    root = pathlib.Path(__file__).parents[2]
    assert f"`SWIFTCNN_ISA={'|'.join(names)}`" in (root / "README.md").read_text()
    header = " ".join((root / "include" / "swiftcnn.h").read_text().replace(" * ", " ").split())
    quoted = [f'"{name}"' for name in reversed(names)]
    assert f"of the kernels: {', '.join(quoted[:-1])} or {quoted[-1]}, each with those after it;" in header


# The system refuses tiles while a thread's alternate signal stack is smaller than they are.
_SMALL_STACK = """
import ctypes, runpy, sys
class Stack(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]
memory = ctypes.create_string_buffer(8192)
stack = Stack(ctypes.addressof(memory), 0, len(memory))
assert ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None) == 0
sys.argv[1:] = ["--json"]
runpy.run_module("swiftcnn", run_name="__main__")
"""


def test_tiles_that_the_system_refuses_are_not_among_what_is_used():
    _, values = json_report()
    assert values["tiles"] == (values["instruction_set"] == "amx")
    if not values["tiles"]:
        pytest.skip("there are none to be refused")
    assert values["tile_refusal"] is None
    done = subprocess.run(
        [sys.executable, "-c", _SMALL_STACK],
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    refused = json.loads(done.stdout)
    assert not refused["tiles"] and "alternate signal stack" in refused["tile_refusal"]
    assert refused["instruction_set"] == "avx512_bf16" and "amx_tile" in refused["features"]


def test_fewer_instructions_than_the_processor_has_are_a_problem():
    status, values = json_report()
    if values["instruction_set"] == "portable":
        assert status == 1
        pytest.skip("there are no fewer")
    assert status == 0 and values["problems"] == []
    status, values = json_report(SWIFTCNN_ISA="portable")
    assert status == 1 and values["instruction_set"] == "portable"
    (problem,) = values["problems"]
    assert "SWIFTCNN_ISA" in problem
    status, text = report(SWIFTCNN_ISA="portable")
    assert status == 1 and problem in text


def test_no_memory_for_code_is_a_problem(run_python):
    output = run_python(
        FORBID_EXECUTABLE_MEMORY
        + """
import json, runpy, sys, numpy, swiftcnn
sys.argv[1:] = ["--json"]
if not forbid():
    print("no filter")
    raise SystemExit
try:
    runpy.run_module("swiftcnn", run_name="__main__")
except SystemExit as end:
    print(end.code)
"""
    )
    if output == "no filter\n":
        pytest.skip("no filter can be set here")
    text, status = output.splitlines()
    values = json.loads(text)
    assert status == "1" and not values["executable_memory"] and values["instruction_set"] == "portable"
    assert "PROT_EXEC" in values["problems"][0]


@pytest.fixture
def package(tmp_path):
    """A copy of the package, without the library for ONNX."""
    folder = tmp_path / "swiftcnn"
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("*.so.0", "__pycache__"))
    os.link(PACKAGE / "libswiftcnn.so.0", folder / "libswiftcnn.so.0")
    return folder


def test_a_library_that_is_left_out_is_no_problem(package):
    expected, _ = json_report()
    status, values = json_report(path=package.parent)
    assert values["libraries"]["ONNX"] is None
    assert status == expected


def test_a_library_that_is_there_in_vain_is_a_problem(package):
    (package / "libswiftcnn_onnx.so.0").write_bytes(b"no library")
    status, values = json_report(path=package.parent)
    assert status == 1
    assert "libswiftcnn_onnx.so.0" in values["problems"][-1]


def test_unknown_arguments_are_refused():
    done = subprocess.run(
        [sys.executable, "-m", "swiftcnn", "--xml"],
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "--xml" in done.stderr

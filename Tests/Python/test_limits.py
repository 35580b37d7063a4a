"""Under limits of the system and beside signals the library refuses with a sentence, and no call ends the process."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import swiftcnn
from swiftcnn import _swiftcnn

from conftest import PACKAGE_ROOT, make_model
from sandbox import FORBID_EXECUTABLE_MEMORY


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the filter is written for x86-64")
def test_portable_kernels_for_want_of_executable_memory_are_told_once(run_python):
    output = run_python(
        FORBID_EXECUTABLE_MEMORY
        + """
import warnings, numpy as np, swiftcnn
from swiftcnn import _swiftcnn
model = swiftcnn.create_model("resnet20", input_shape=(8, 8, 1), classes=10)
x = np.zeros((4, 8, 8, 1), np.uint8)
assert not _swiftcnn.slow_reason()
if not forbid():
    print("no filter")
    raise SystemExit
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for count in (1, 2, 1):
        model.predict_on_batch(x[:count])
print(len(caught), caught[0].category.__name__, str(caught[0].message) == _swiftcnn.slow_reason())
print(_swiftcnn.slow_reason())
"""
    )
    if output == "no filter\n":
        pytest.skip("no filter can be set here")
    first, reason = output.splitlines()
    assert first == "1 RuntimeWarning True"
    for word in ("executable memory", "seccomp", "PROT_EXEC"):
        assert word in reason


def test_nothing_is_told_where_code_is_generated():
    make_model().predict_on_batch(np.zeros((1, 8, 8, 1), np.uint8))
    assert _swiftcnn.slow_reason() == ""


def test_a_limit_of_file_sizes_ends_no_prediction(run_python, tmp_path):
    """The memory for generated code is a file to the system."""
    output = run_python(
        f"""
import resource, signal, numpy as np, swiftcnn
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
model = swiftcnn.create_model("resnet20", input_shape=(32, 32, 3), classes=10)
x = np.zeros((1, 32, 32, 3), np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (50 * 1024, 50 * 1024))
print(model.predict_on_batch(x).shape)
try:
    model.save({str(tmp_path / "m.safetensors")!r})
except OSError as error:
    print(error.errno)
"""
    )
    assert output == "(1, 10)\n27\n"
    assert os.listdir(tmp_path) == []


def test_little_address_space_is_an_error(run_python):
    """From nothing to what is needed: a call succeeds or raises MemoryError."""
    output = run_python(
        """
import os, resource, numpy as np, swiftcnn
x = np.zeros((2, 8, 8, 3), np.uint8)
results = []
for megabytes in (0, 16, 33, 35, 40, 300):
    child = os.fork()
    if child == 0:
        size = int(open("/proc/self/statm").read().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (size + (megabytes << 20), resource.RLIM_INFINITY))
        status = 1
        try:
            swiftcnn.create_model("resnet20", input_shape=(8, 8, 3), classes=10).predict_on_batch(x)
            status = 0
        except MemoryError:
            status = 7
        finally:
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    results.append({0: "works", 7 << 8: "refused"}.get(status, status))
print(*results[:2], results[-1], set(results) == {"works", "refused"})
"""
    )
    assert output == "refused refused works True\n"


@pytest.mark.parametrize("call", ["predict_on_batch(x[:count])", "test_on_batch(x[:count], y[:count])"])
def test_ctrl_c_ends_one_huge_batch(run_python, call):
    """After about one of the parts of 256 images that are computed at once, of which there are twenty."""
    output = run_python(
        f"""
import os, signal, threading, time, numpy as np, swiftcnn
model = swiftcnn.create_model("resnet20", input_shape=(32, 32, 3), classes=10)
model.compile("sgd", "sparse_categorical_crossentropy")
x = np.zeros((5120, 32, 32, 3), np.uint8)
y = np.zeros(len(x), np.int64)
def run(count):
    began = time.monotonic()
    try:
        model.{call}
    except KeyboardInterrupt:
        print("interrupted")
    return time.monotonic() - began
run(1024)  # makes the plan
fifth = run(1024)
threading.Timer(0.1 * fifth, os.kill, (os.getpid(), signal.SIGINT)).start()
print(run(5120) < 2.5 * fifth)
print(np.isfinite(model.predict_on_batch(x[:1])).all())
"""
    )
    assert output == "interrupted\nTrue\nTrue\n"


def test_a_handler_that_does_not_raise_interrupts_nothing():
    heard = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append(time.monotonic()))
    try:
        model = make_model(input_shape=(32, 32, 3))
        x = np.zeros((3000, 32, 32, 3), np.uint8)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        result = model.predict_on_batch(x)
        end = time.monotonic()
        while not heard and time.monotonic() < end + 5:
            time.sleep(0.01)
        assert len(heard) == 1
        assert np.isfinite(result).all()
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, 0)


KILLED_WRITER = """
import os, signal, sys, numpy as np, swiftcnn
from swiftcnn import _swiftcnn
model = swiftcnn.create_model("resnet18", input_shape=(32, 32, 3))  # 47 MB
import threading
threading.Timer(float(sys.argv[2]), os.kill, (os.getpid(), signal.SIGKILL)).start()
while True:
    model.save(sys.argv[1])
"""


def leftover(path):
    """A temporary file as a killed writer leaves it, of this machine and a process that is not there any more."""
    environment = {**os.environ, "PYTHONPATH": PACKAGE_ROOT}
    for delay in ("0.05", "0.1", "0.2", "0.07", "0.15", "0.3"):
        subprocess.run([sys.executable, "-c", KILLED_WRITER, path, delay], env=environment, timeout=60, check=False)
        found = [name for name in os.listdir(os.path.dirname(path)) if ".tmp-" in name]
        if found:
            return found[0]
    return pytest.skip("no writer was killed in the midst")


def test_the_file_of_a_killed_writer_is_removed_by_the_next(tmp_path):
    path = str(tmp_path / "m.safetensors")
    name = leftover(path)
    assert re.fullmatch(r"m\.safetensors\.tmp-\d+-[0-9a-f]{1,8}-[0-9a-f]{1,8}", name)
    place = name.split("-")[-2]
    gone = name.split("-")[1]
    mine, other = os.getpid(), "0" if place != "0" else "1"
    keep = [
        f"m.safetensors.tmp-{mine}-{place}-1",  # its process lives
        f"m.safetensors.tmp-{gone}-{other}-2",  # perhaps alive on another machine
        f"m.safetensors.tmp-{gone}-3",  # the same, as earlier versions named it
        f"other.safetensors.tmp-{gone}-{place}-4",
        "m.safetensors.tmp-notes",
        f"m.safetensors.tmp-{gone}-{place}-5.txt",
    ]
    old = [f"m.safetensors.tmp-{gone}-{other}-6", f"m.safetensors.tmp-{gone}-7"]
    for each in keep + old:
        (tmp_path / each).write_bytes(b"x")
    for each in old:
        os.utime(tmp_path / each, (time.time() - 7200,) * 2)
    make_model().save(path)
    assert sorted(os.listdir(tmp_path)) == sorted(["m.safetensors", *keep])
    swiftcnn.load_model(path)

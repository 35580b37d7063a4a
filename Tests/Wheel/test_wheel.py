"""The wheel in dist: what it says of itself, and that it installs and runs where nothing else is."""

import functools
import glob
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SUPPORTED = (3, 11)


@functools.cache
def wheel():
    (path,) = (ROOT / "dist").glob("*.whl")
    return path


def contents():
    with zipfile.ZipFile(wheel()) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_the_name_says_which_pythons_and_systems_it_is_for():
    name, version, python, abi, platforms = wheel().name.removesuffix(".whl").split("-")
    assert (name, python, abi) == ("swiftcnn", "cp311", "abi3")
    assert "manylinux_2_28_x86_64" in platforms.split(".")
    information = Parser().parsestr(contents()[f"swiftcnn-{version}.dist-info/METADATA"].decode())
    assert information["Version"] == version
    assert information["License-Expression"] == "Apache-2.0" and information["Author"] == "SwiftCNN authors"
    assert information["Description-Content-Type"] == "text/markdown" and "create_model" in information.get_payload()
    assert "Typing :: Typed" in information.get_all("Classifier")


def test_it_holds_the_package_the_libraries_and_the_licence():
    files = contents()
    modules = {path.relative_to(ROOT / "bindings/python").as_posix() for path in ROOT.glob("bindings/python/swiftcnn/**/*.py")}
    libraries = {"_swiftcnn.abi3.so", "libswiftcnn.so.0", "libswiftcnn_onnx.so.0"}
    expected = modules | {f"swiftcnn/{name}" for name in libraries | {"py.typed", "_swiftcnn.pyi"}}
    assert {name for name in files if name.startswith("swiftcnn/") and not name.endswith("/")} == expected
    (licence,) = (text for name, text in files.items() if name.endswith("licenses/LICENSE"))
    assert licence == (ROOT / "LICENSE").read_bytes()


def version_of(python):
    """Of an interpreter that can run it, as (3, 12); None of others, and of names behind which there is none."""
    program = """if True:
        import sys, sysconfig, venv
        print(*sys.version_info[:2], sys.implementation.name, sysconfig.get_config_var("Py_GIL_DISABLED") or 0)"""
    done = subprocess.run([python, "-c", program], capture_output=True, text=True)
    if done.returncode != 0:
        return None
    major, minor, name, is_free_threaded = done.stdout.split()
    version = int(major), int(minor)
    return version if version >= SUPPORTED and name == "cpython" and is_free_threaded == "0" else None


def interpreters():
    """One of each version on this machine: this one first, then the newest."""
    named = [shutil.which(f"python3.{minor}") for minor in range(30, SUPPORTED[1] - 1, -1)]
    found = {sys.version_info[:2]: sys.executable}
    for python in [*filter(None, named), *glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python3"))]:
        if version := version_of(python):
            found.setdefault(version, python)
    first, *others = found.items()
    return [first, *sorted(others, reverse=True)]


@pytest.mark.parametrize("number", [0, 1])
def test_it_installs_and_runs_in_an_empty_environment(number, tmp_path):
    known = interpreters()
    if number >= len(known):
        pytest.skip("there is no second version of Python on this machine")
    version, python = known[number]
    subprocess.run([python, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    inside = tmp_path / "venv/bin/python"
    pip = [sys.executable, "-m", "pip", "--python", inside, "install", "-q", "--no-compile", wheel()]
    subprocess.run(pip, check=True)
    # From a folder without the sources, and without what a developer's environment points to.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "SWIFTCNN"))}

    def run(*arguments):
        options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
        done = subprocess.run([inside, *arguments], **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(ROOT / "Tests/Wheel/use.py")
    report = run("-m", "swiftcnn")
    assert str(tmp_path / "venv") in report.splitlines()[0]
    assert f"Python       {version[0]}.{version[1]}." in report
    print(report)

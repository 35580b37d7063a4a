"""Every piece of Python in the README and in the guides runs, on a small data set."""

import importlib.util
import pathlib
import re

import pytest
import swiftcnn
from golden import tensors

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "Sources/SwiftCNN/SwiftCNN.docc").glob("*.md"))]
# A piece that imports one of these, or says "# needs" of it, is left out where it is not installed.
OPTIONAL = ("matplotlib", "safetensors", "sklearn", "torch", "torchvision")


def pieces(page):
    """The code between ```python and ``` with the number of lines before it."""
    lines = page.read_text().split("\n")
    start = None
    for number, line in enumerate(lines):
        if line.strip() == "```python":
            start = number + 1
        elif line.strip() == "```" and start is not None:
            yield start, "\n".join(lines[start:number])
            start = None
    assert start is None, f"{page.name}: the block that begins in line {start} does not end"


def is_runnable(code):
    needed = re.findall(r"^(?:import|from) (\w+)|# needs (\w+)", code, re.MULTILINE)
    names = {name for pair in needed for name in pair} & set(OPTIONAL)
    return all(importlib.util.find_spec(name) for name in names)


def test_there_are_guides_with_python():
    assert sum(1 for page in PAGES for _ in pieces(page)) > 30


@pytest.mark.parametrize("page", [page for page in PAGES if any(pieces(page))], ids=lambda page: page.stem)
def test_the_python_of_the_page_runs(page, datasets, tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SWIFTCNN_DATASETS", str(datasets))
    packed = tensors("pictures")[0]["jpeg_420/file"]
    (folder / "photo.jpg").write_bytes(packed[1:].astype("<i4").tobytes()[: int(packed[0])])
    for place in ("train/cat", "train/dog", "val/cat", "val/dog"):
        (folder / place).mkdir(parents=True)
        for name in ("1.jpg", "2.jpg"):
            (folder / place / name).write_bytes((folder / "photo.jpg").read_bytes())
    swiftcnn.utils.clear_session()
    namespace = {"__name__": "__main__"}
    for start, code in pieces(page):
        if is_runnable(code):
            # The empty lines make the numbers in a traceback those of the page.
            exec(compile("\n" * start + code, str(page), "exec"), namespace)

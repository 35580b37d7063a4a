"""Which module of the package imports which: what is below knows nothing of what is above."""

import ast
from pathlib import Path

import pytest
import swiftcnn

ROOT = Path(swiftcnn.__file__).parent
MODULES = {
    ".".join(("swiftcnn", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}


def imported(name):
    """The modules of the package that a module imports, at its top or within functions; what is for types alone does
    not count."""
    tree = ast.parse(MODULES[name].read_text())
    for block in ast.walk(tree):
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING":
            block.body = []
    package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = ".".join([*package.split(".")[: len(package.split(".")) + 1 - node.level], *filter(None, [node.module])])
        for alias in node.names:
            yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base


GRAPH = {name: set(imported(name)) - {name, "swiftcnn"} for name in MODULES}


def circle(start):
    """A way from a module back to it, or None."""
    ways, seen = [[start]], set()
    while ways:
        way = ways.pop()
        for target in GRAPH.get(way[-1], ()):
            if target == start:
                return [*way, target]
            if target not in seen:
                seen.add(target)
                ways.append([*way, target])
    return None


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_module_imports_what_imports_it(name):
    assert circle(name) is None


def reaches(start):
    seen, needed = set(), [start]
    while needed:
        for target in GRAPH.get(needed.pop(), ()):
            if target not in seen:
                seen.add(target)
                needed.append(target)
    return seen


@pytest.mark.parametrize("below, above", [("_symbolic", "layers"), ("activations", "layers"), ("layers.base", "models")])
def test_what_is_below_knows_nothing_of_what_is_above(below, above):
    found = {name for name in reaches(f"swiftcnn.{below}") if f"{name}.".startswith(f"swiftcnn.{above}.")}
    assert not found


LAZY = """
import sys, swiftcnn
assert [name for name in sys.modules if name.startswith("swiftcnn.")] == ["swiftcnn._swiftcnn"]
assert swiftcnn.create_model is swiftcnn.models.create_model
for name in swiftcnn.__all__:
    getattr(swiftcnn, name)
"""


def test_a_module_is_read_when_it_is_first_asked_for(run_python):
    run_python(LAZY)


ALONE = """
import numpy as np
from swiftcnn.activations import relu
assert relu(np.float32([-1, 2])).tolist() == [0, 2]
"""


def test_a_module_works_alone(run_python):
    run_python(ALONE)


def test_what_is_not_there_is_said():
    with pytest.raises(AttributeError, match="module 'swiftcnn' has no attribute 'Modle'"):
        swiftcnn.Modle  # noqa: B018

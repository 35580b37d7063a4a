"""Tests of the formula against published values, and of --check: `python -m pytest Tests/Golden`."""

import numpy
import pytest

import formula
import golden_file


def test_fnv1a_has_the_published_values():
    assert formula.fnv1a64("") == 0xCBF29CE484222325
    assert formula.fnv1a64("a") == 0xAF63DC4C8601EC8C
    assert formula.fnv1a64("foobar") == 0x85944171F73967E8


def test_splitmix64_has_the_published_first_value():
    assert int(formula.splitmix64(numpy.array([0], numpy.uint64))[0]) == 0xE220A8397B1DCDAF


@pytest.mark.parametrize("scale, offset", [(1.0, 0.0), (0.1, 0.0), (0.2, 1.0), (0.4, 1.0), (0.0379, 0.0)])
def test_nothing_but_the_last_step_rounds(scale, offset):
    from fractions import Fraction

    name, count = "layer1.0.conv1.weight", 1000
    rounded = formula.values(name, (count,), scale, offset)
    uniform = formula.values(name, (count,))
    for u, value in zip(uniform, rounded):
        exact = Fraction(offset) + Fraction(float(numpy.float32(scale))) * Fraction(float(u))
        assert Fraction(float(exact)) == exact  # representable in float64
        assert numpy.float32(float(exact)) == value


def test_check_names_what_differs(tmp_path):
    path = tmp_path / "small.safetensors"
    tensors = {"a": numpy.ones(3, numpy.float32), "b": numpy.arange(2)}
    golden_file.write(path, tensors, {"cases": {}})
    assert golden_file.differences(path, tensors, {"cases": {}}) == []
    moved = {"a": numpy.array([1, 1, 1.00001], numpy.float32), "b": numpy.arange(2)}
    assert "a differs by" in golden_file.differences(path, moved, {"cases": {}})[0]
    assert "document" in golden_file.differences(path, tensors, {"cases": {"x": 1}})[0]
    assert "only in the file" in golden_file.differences(path, {"a": tensors["a"]}, {"cases": {}})[0]
    poisoned = {"a": numpy.array([1, 1, numpy.nan], numpy.float32), "b": numpy.arange(2)}
    assert golden_file.differences(path, poisoned, {"cases": {}})

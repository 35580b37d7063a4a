"""The golden values of Tests/Golden, read with NumPy alone, and the package that is compared with them.

``api`` is swiftcnn, or Keras itself where SWIFTCNN_TEST_KERAS=1: then the tests show that what they say is Keras's.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
from types import ModuleType
from typing import Any

import numpy as np

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "Golden"
sys.path.insert(0, str(FOLDER))

import keras_peer  # noqa: E402  Tests/Golden

IS_KERAS = os.environ.get("SWIFTCNN_TEST_KERAS") == "1"
#: What model files end in.
ENDING = ".keras" if IS_KERAS else ".safetensors"
TYPES = {"F32": np.float32, "I32": np.int32}


def _api() -> ModuleType:
    if IS_KERAS:
        return keras_peer.keras()
    import swiftcnn

    return swiftcnn


api = _api()


def tensors(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The tensors and the document of a golden file of tensors."""
    content = (FOLDER / f"{name}.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    document = json.loads(header.pop("__metadata__")["golden"])
    found = {}
    for key, entry in header.items():
        first, last = (start + offset for offset in entry["data_offsets"])
        found[key] = np.frombuffer(content[first:last], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return found, document


def document(name: str) -> dict[str, Any]:
    """A golden file that is JSON."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def error(actual: object, expected: np.ndarray) -> float:
    """The largest difference, relative to the largest of the expected values."""
    found = np.asarray(actual, np.float64)
    assert found.shape == expected.shape
    largest = np.abs(expected.astype(np.float64)).max(initial=0.0)
    return float(np.abs(found - expected).max(initial=0.0) / max(largest, 1e-30))

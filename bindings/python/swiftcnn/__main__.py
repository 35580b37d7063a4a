"""``python -m swiftcnn`` says what this installation computes with, and what makes it slow or fail and what to do then.

The exit status is 1 where something does. ``--json`` says it to programs.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys

import numpy as np

from . import _swiftcnn


def main() -> int:
    parser = argparse.ArgumentParser("python -m swiftcnn", description="Says what this installation computes with.")
    parser.add_argument("--json", action="store_true", help="as a JSON object")
    report = json.loads(_swiftcnn.system("json"))
    if parser.parse_args().json:
        print(json.dumps(report | {"python": platform.python_version(), "numpy": np.__version__}))
    else:
        print(_swiftcnn.system("text"), f"Python       {platform.python_version()}, NumPy {np.__version__}", sep="\n")
    return 1 if report["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())

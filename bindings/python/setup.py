"""The C extension, for pyproject.toml: compiled against the shared library that `make lib` built, which goes into the
wheel beside it. One wheel serves every Python from 3.11 on (abi3)."""

import glob
import os
import shutil

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LIBRARY = os.path.join(ROOT, "build", "libswiftcnn.so")
ONNX_LIBRARY = os.path.join(ROOT, "build", "libswiftcnn_onnx.so")


class BuildExtension(build_ext):
    def run(self) -> None:
        if not os.path.exists(LIBRARY):
            raise SystemExit(f"{LIBRARY} is missing: run `make lib` first")
        super().run()
        # In an editable install the package is the source folder itself.
        package = os.path.join(HERE if self.inplace else self.build_lib, "swiftcnn")
        # By the name that the extension asks for: the one with the number, a link to the library.
        for name in glob.glob(LIBRARY + ".[0-9]") + glob.glob(ONNX_LIBRARY + ".[0-9]"):
            shutil.copyfile(name, os.path.join(package, os.path.basename(name)))


setup(
    ext_modules=[
        Extension(
            "swiftcnn._swiftcnn",
            ["swiftcnn/_dlpack.c", "swiftcnn/_swiftcnn.c"],
            depends=["swiftcnn/_dlpack.h"],
            include_dirs=[os.path.join(ROOT, "include")],
            library_dirs=[os.path.dirname(LIBRARY)],
            libraries=["swiftcnn"],
            extra_link_args=["-Wl,-rpath,$ORIGIN"],
            py_limited_api=True,
        )
    ],
    cmdclass={"build_ext": BuildExtension},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)

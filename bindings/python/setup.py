"""The C extension, for pyproject.toml: compiled against the shared library that `make lib` built (or that is in
SWIFTCNN_LIBRARIES), which goes into the wheel beside it. One wheel serves every Python from 3.11 on (abi3)."""

import glob
import os
import shutil

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build")
LIBRARIES = os.environ.get("SWIFTCNN_LIBRARIES", BUILD)


class BuildExtension(build_ext):
    def run(self) -> None:
        # By the names that the extension and the library ask for: those with the number.
        libraries = glob.glob(os.path.join(LIBRARIES, "libswiftcnn*.so.[0-9]"))
        if not libraries:
            raise SystemExit(f"there is no libswiftcnn.so in {LIBRARIES}: run `make lib` first")
        super().run()
        # In an editable install the package is the source folder itself.
        package = os.path.join(HERE if self.inplace else self.build_lib, "swiftcnn")
        for library in libraries:
            shutil.copyfile(library, os.path.join(package, os.path.basename(library)))


setup(
    ext_modules=[
        Extension(
            "swiftcnn._swiftcnn",
            ["swiftcnn/_dlpack.c", "swiftcnn/_swiftcnn.c"],
            depends=["swiftcnn/_dlpack.h"],
            include_dirs=[os.path.join(ROOT, "include")],
            library_dirs=[LIBRARIES],
            libraries=["swiftcnn"],
            extra_link_args=["-Wl,-rpath,$ORIGIN"],
            py_limited_api=True,
        )
    ],
    cmdclass={"build_ext": BuildExtension},
    options={"bdist_wheel": {"py_limited_api": "cp311"}, "build": {"build_base": os.path.join(BUILD, "setuptools")}},
)

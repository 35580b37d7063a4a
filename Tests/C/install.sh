#!/bin/bash
# Installs the library as a user and as a package's builder do, compiles a program with pkg-config against what is
# installed, and takes it away again: nothing is left.
# Usage: MAKE=make CC=cc install.sh FOLDER
set -euo pipefail
folder=$(realpath -m "$1")
cd "$(dirname "$0")/../.."
rm -rf "$folder"
mkdir -p "$folder"

fail() { echo "install: $*"; exit 1; }

check() {  # check ROOT LIBDIR ARGUMENTS...: the root is what stands for /
  local root=$1 libdir=$2
  shift 2
  "$MAKE" -s install "$@" > "$folder/log" || { cat "$folder/log"; exit 1; }
  local version
  version=$(PKG_CONFIG_PATH="$root$libdir/pkgconfig" pkg-config --modversion swiftcnn)
  for name in libswiftcnn libswiftcnn_onnx; do
    [ -f "$root$libdir/$name.so.$version" ] || fail "$name.so.$version is missing"
    [ "$(readelf -d "$root$libdir/$name.so.$version" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')" = "$name.so.0" ] ||
      fail "$name has another name inside"
    [ "$root$libdir/$name.so.0" -ef "$root$libdir/$name.so.$version" ] || fail "$name.so.0 is no link to it"
  done
  [ -z "$(find "$root" -type f ! -perm -444)" ] || fail "not everybody may read: $(find "$root" -type f ! -perm -444)"
  [ -z "$(find "$root" -type l -lname '/*')" ] || fail "a link is absolute"
  grep -rqF "$folder/package" "$root$libdir/pkgconfig" && fail "the folder of DESTDIR is in swiftcnn.pc"
  export PKG_CONFIG_PATH="$root$libdir/pkgconfig" PKG_CONFIG_SYSROOT_DIR="${root%/}"
  "$CC" -std=c99 bindings/c/examples/layers.c -o "$folder/layers" $(pkg-config --cflags --libs swiftcnn) -lm
  unset PKG_CONFIG_SYSROOT_DIR
  (cd "$folder" && LD_LIBRARY_PATH="$root$libdir" ./layers > log 2>&1) || { cat "$folder/log"; fail "the program fails"; }
  "$MAKE" -s uninstall "$@"
  [ -z "$(find "$root" ! -type d)" ] || fail "left behind: $(find "$root" ! -type d)"
  [ -z "$(find "$root" -type d -name '*swiftcnn*')" ] || fail "a folder is left behind"
}

"$MAKE" -s install PREFIX=relative > "$folder/log" 2>&1 && fail "a prefix that depends on the folder is taken"
[ ! -e relative ] || fail "something is installed below a prefix that is refused"

# A prefix that the loader does not look into: the last lines say what to do about it.
umask 077
check "$folder/package" /usr/lib/x86_64-linux-gnu PREFIX=/usr LIBDIR=/usr/lib/x86_64-linux-gnu DESTDIR="$folder/package"
umask 022
mkdir "$folder/own"
"$MAKE" -s install PREFIX="$folder/own" > "$folder/log"
rpath=$(sed -n 's/^or link each program with //p' "$folder/log")
[ "$rpath" = "-Wl,-rpath,$folder/own/lib" ] || { cat "$folder/log"; fail "nothing is said of the loader"; }
export PKG_CONFIG_PATH="$folder/own/lib/pkgconfig"
"$CC" -std=c99 bindings/c/examples/layers.c -o "$folder/layers" $(pkg-config --cflags --libs swiftcnn) -lm "$rpath"
(cd "$folder" && ./layers > log 2>&1) || { cat "$folder/log"; fail "the program does not find the library"; }
"$MAKE" -s uninstall PREFIX="$folder/own"
[ -z "$(find "$folder/own" ! -type d)" ] || fail "left behind: $(find "$folder/own" ! -type d)"
echo "install and uninstall: nothing is left"

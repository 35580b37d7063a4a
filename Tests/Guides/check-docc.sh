#!/bin/sh
# Makes the documentation, in which every link leads somewhere and every parameter is described: a warning is an error.
# What `import SwiftCNN` brings of the modules below is part of it.
# Usage: check-docc.sh MODULES FOLDER: where the compiled modules are, and where the documentation is to be put.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
exported() { sed -nE 's/^@_exported import ([a-z]+ )?(CNN[A-Za-z]+).*/\2/p' "$root/Sources/$1/Exports.swift" | sort -u | paste -sd,; }
rm -rf "$2"
mkdir -p "$2/symbols"
for module in SwiftCNN SwiftCNNONNX; do
  swift-symbolgraph-extract -module-name "$module" -I "$1" -I "$1/../CX86Debugger.build" -I "$root/Sources/COpenBLAS" \
    -I "$root/Sources/CImageCodecs" -target "$(uname -m)-unknown-linux-gnu" -minimum-access-level public \
    -experimental-allowed-reexported-modules="$(exported "$module")" -output-dir "$2/symbols"
done
docc convert "$root/Sources/SwiftCNN/SwiftCNN.docc" --additional-symbol-graph-dir "$2/symbols" \
  --fallback-display-name SwiftCNN --fallback-bundle-identifier SwiftCNN --output-path "$2/SwiftCNN.doccarchive" \
  --warnings-as-errors
echo "the documentation is in $2/SwiftCNN.doccarchive"

#!/bin/sh
# Checks that the Swift in the README and in the guides compiles, each piece by itself.
# Usage: check-swift.sh MODULES FOLDER: where the compiled modules are, and where the pieces are to be put.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
"$root/Tests/Guides/blocks.sh" swift "$2" "$root"/README.md "$root"/Sources/SwiftCNN/SwiftCNN.docc/*.md
for piece in "$2"/*.swift; do
  swiftc -typecheck -swift-version 6 -I "$1" -I "$1/../CX86Debugger.build" -I "$root/Sources/COpenBLAS" \
    -I "$root/Sources/CImageCodecs" "$piece"
done
echo "the guides' Swift compiles"

#!/bin/bash
# Compiles the examples and the programs of the guides as strict C99 and runs each.
# Usage: CC=cc CFLAGS="-Iinclude" LDLIBS="-Lbuild -lswiftcnn" examples.sh FOLDER
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$1
mkdir -p "$folder"

build() {  # build SOURCE: the program in the folder
  $CC $CFLAGS -std=c99 "$1" -o "$folder/$(basename "$1" .c)" $LDLIBS
}
run() {  # run PROGRAM ARGUMENTS...
  (cd "$folder" && "./$@" > log 2>&1) || { echo "$1:"; cat "$folder/log"; exit 1; }
}

for source in "$root"/bindings/c/examples/*.c; do build "$source"; done

# 40 images of 28 x 28 and their labels, in the format of MNIST.
{ printf '\0\0\010\003\0\0\0\050\0\0\0\034\0\0\0\034'; head -c $((40 * 28 * 28)) /dev/zero | tr '\0' '\144'; } \
  > "$folder/images.idx"
{ printf '\0\0\010\001\0\0\0\050'; head -c 40 /dev/zero | tr '\0' '\005'; } > "$folder/labels.idx"

run layers
run finetune generated.safetensors
run finetune tuned.safetensors images.idx labels.idx generated.safetensors
run classify tuned.safetensors images.idx labels.idx 10

# A JPEG file of 16 x 8 pixels.
base64 -d > "$folder/photo.jpg" <<END
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAx
NDQ0Hyc5PTgyPC4zNDL/wAALCAAIABABAREA/8QAFAABAAAAAAAAAAAAAAAAAAAACP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAI
AQEAAD8AP5kP/9k=
END

mkdir -p "$folder"/train/{cat,dog}
for class in cat dog; do cp "$folder/photo.jpg" "$folder/train/$class"; done

"$root/Tests/Guides/blocks.sh" c "$folder/guides" "$root"/README.md "$root"/Sources/SwiftCNN/SwiftCNN.docc/*.md
for source in "$folder"/guides/*.c; do
  build "$source"
  run "$(basename "$source" .c)"
done
echo "the examples and the guides' programs run"

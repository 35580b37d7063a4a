#!/bin/sh
# Writes the pieces of code in Markdown pages to files of their own, PAGE-1.c, PAGE-2.c...
#
#   Tests/Guides/blocks.sh swift FOLDER PAGE.md...
#
# Of C those alone that are whole programs. FOLDER holds nothing else afterwards.
set -eu
language=$1 folder=$2
shift 2
rm -rf "$folder"
mkdir -p "$folder"
for page in "$@"; do
  awk -v language="$language" -v stem="$folder/$(basename "$page" .md)" '
    $0 == "```" && inside { inside = 0; close(file) }
    inside { print > file }
    $0 == "```" language { inside = 1; file = stem "-" ++count "." language; printf "" > file }
    END { if (inside) { print stem ": a block does not end" > "/dev/stderr"; exit 1 } }' "$page"
done
if [ "$language" = c ]; then
  grep -L 'int main' "$folder"/*.c | xargs -r rm
fi
ls "$folder"/*."$language" > /dev/null  # there is one at least

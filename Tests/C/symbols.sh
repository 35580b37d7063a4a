#!/bin/bash
# Compares the functions that the library exports with those that the header declares, in both directions, and sees to
# it that the tests of the API and of bad input call each of them.
# Usage: symbols.sh LIBRARY HEADER
set -euo pipefail
export LC_ALL=C
tests=$(dirname "$0")

# The preprocessor takes the comments away, which name functions too. What a `(*` follows is the type of a function's result.
declared=$(cc -E -P "$2" | grep -oP '\bscnn_[a-z0-9_]+(?= *\((?!\*))' | sort -u)
exported=$(nm -D --defined-only "$1" | awk '{ print $3 }' | sort -u)
problems=0

report() {  # report WHAT NAMES
  if [ -n "$2" ]; then
    echo "$1:" $2
    problems=1
  fi
}

report "declared in the header but not exported" "$(comm -23 <(echo "$declared") <(echo "$exported"))"
report "exported but not declared in the header" "$(comm -13 <(echo "$declared") <(echo "$exported"))"
called() { cat "$@" | grep -oE '\bscnn_[a-z0-9_]+' | sort -u; }
report "not called by the tests of the API" \
  "$(comm -23 <(echo "$declared") <(called "$tests"/{api,training,graph,sharing,inputs,outputs,measures,pictures,folders,bad_files,bad_values}.c "$tests/support.h"))"
# These take nothing that could be wrong.
harmless=$(printf 'scnn_get_num_threads\nscnn_last_error\nscnn_slow_reason\nscnn_version\n')
report "not called by the tests of bad input" \
  "$(comm -23 <(comm -23 <(echo "$declared") <(echo "$harmless")) <(called "$tests"/{bad_*,sharing,inputs,outputs,measures,pictures,folders}.c))"

[ $problems = 0 ] || exit 1
echo "symbols: $(echo "$declared" | wc -l) functions declared, exported and tested"

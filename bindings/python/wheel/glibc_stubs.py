"""Writes what a linker sees of the C library as it was at an older version: python glibc_stubs.py 2.28 folder

A linker takes each function by its newest version, so that what it links runs only where the C library is as new as its
own; yet a C library keeps the older versions. The folder gets libc.so.6 and libm.so.6 without code, of this machine's
functions and variables each in its newest version up to the one given, with libc.so and libm.so to find them by -lc and
-lm. What came later is not there, and is an error of the linker.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

# 0000000000085500 g    DF .text  0000000000000090 (GLIBC_2.2.5) dlopen
SYMBOL = re.compile(r"^[0-9a-f]+ .{5}D([FO ]) (\S+)\t([0-9a-f]+) +\(?GLIBC_([0-9.]+)\)? +(\S+)$", re.MULTILINE)


def number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def path_of(name: str) -> str:
    """Where the compiler finds a file of the C library."""
    return subprocess.check_output(["cc", f"-print-file-name={name}"], text=True).strip()


def write_stub(library: str, newest: str, folder: str) -> None:
    symbols: dict[str, tuple[str, str, int]] = {}
    listing = subprocess.check_output(["objdump", "-T", path_of(library)], text=True)
    for kind, section, size, version, name in SYMBOL.findall(listing):
        if section in ("*UND*", ".tbss", "*ABS*") or number(version) > number(newest):
            continue
        if name not in symbols or number(symbols[name][0]) < number(version):
            symbols[name] = (version, kind, int(size, 16))
    lines = [".data"]
    for index, (name, (version, kind, size)) in enumerate(symbols.items()):
        lines += [
            f".globl s{index}",
            f".type s{index}, {'@object' if kind == 'O' else '@function'}",
            f".size s{index}, {size}",
            f"s{index}: .zero 1",
            f".symver s{index}, {name}@@GLIBC_{version}, remove",
        ]
    versions = sorted({version for version, _, _ in symbols.values()}, key=number)
    source, script = (os.path.join(folder, library + suffix) for suffix in (".s", ".map"))
    with open(source, "w") as file:
        file.write("\n".join(lines) + '\n.section .note.GNU-stack,"",@progbits\n')
    with open(script, "w") as file:
        file.writelines(f"GLIBC_{version} {{}};\n" for version in versions)
    stub = os.path.join(folder, library)
    command = ["cc", "-shared", "-nostdlib", f"-Wl,-soname,{library},--version-script={script}", source, "-o", stub]
    subprocess.run(command, check=True)


def main(newest: str, folder: str) -> None:
    os.makedirs(folder, exist_ok=True)
    # Before 2.34 functions for threads and for loading had libraries of their own, which are empty since.
    always = {"libc": [path_of("libpthread.so.0"), path_of("libdl.so.2")], "libm": []}
    for name, beside in always.items():
        write_stub(f"{name}.so.6", newest, folder)
        loader = "/lib64/ld-linux-x86-64.so.2"
        with open(os.path.join(folder, f"{name}.so"), "w") as file:
            file.write(f"GROUP({os.path.abspath(folder)}/{name}.so.6 {' '.join(beside)} AS_NEEDED({loader}))\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Values that Python and Swift compute alike, bit for bit, so that no large file of weights is needed.

Element i (row-major, from 0) of the tensor called `name`:

    h     = splitmix64(fnv1a64(utf8(name)) + i)                  unsigned 64-bit, wrapping
    u     = (h >> 40) * 2^-23 - 1                                in [-1, 1), exact in float32
    value = float32(offset + float64(scale) * u)                 scale is a float32, the rest float64

`scale` has 24 bits and `u` 24, so the product is exact in float64; the offsets below are 0 or 1 and the sum is exact
too. The only rounding is the last one, to float32: nothing depends on the order of operations or on fused
multiply-add. The scale itself is computed in float64, step by step as written, and rounded to float32 once.
"""

import math

import numpy

FNV_OFFSET_BASIS, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
MASK = (1 << 64) - 1


def fnv1a64(text):
    """The 64-bit FNV-1a hash of the text's UTF-8 bytes (Fowler, Noll and Vo)."""
    digest = FNV_OFFSET_BASIS
    for byte in text.encode():
        digest = ((digest ^ byte) * FNV_PRIME) & MASK
    return digest


def splitmix64(x):
    """SplitMix64's output for the state `x` (Steele, Lea and Flood 2014); `x` is a uint64 array, sums wrap."""
    x = x + numpy.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return x ^ (x >> numpy.uint64(31))


def values(name, shape, scale=1.0, offset=0.0):
    """The tensor called `name`, uniform in [offset - scale, offset + scale), float32."""
    count = math.prod(shape)
    hashes = splitmix64(numpy.uint64(fnv1a64(name)) + numpy.arange(count, dtype=numpy.uint64))
    uniform = (hashes >> numpy.uint64(40)).astype(numpy.float64) * 2.0**-23 - 1.0
    return (offset + numpy.float64(numpy.float32(scale)) * uniform).astype(numpy.float32).reshape(shape)


def parameter(name, shape):
    """The tensor called `name` of a state_dict; its role follows from its name and rank.

    | which                         | scale                    | offset |
    |-------------------------------|--------------------------|--------|
    | name ends in `running_mean`   | 0.1                      | 0      |
    | name ends in `running_var`    | 0.4                      | 1      |
    | name ends in `bias`           | 0.1                      | 0      |
    | rank 1 otherwise (BN weight)  | 0.2                      | 1      |
    | rank 2 and 4 (OIHW, [out, in])| sqrt(3 / product(shape[1:])) | 0  |
    """
    if name.endswith("running_mean") or name.endswith("bias"):
        return values(name, shape, 0.1)
    if name.endswith("running_var"):
        return values(name, shape, 0.4, 1.0)
    if len(shape) == 1:
        return values(name, shape, 0.2, 1.0)
    return values(name, shape, math.sqrt(3.0 / math.prod(shape[1:])))

#!/usr/bin/env python3
"""Ten thousand predictions with changing numbers of images, from one thread and from eight at once: memory stays flat, and
the bits are those of a prediction by itself. `make soak`; takes a minute or two."""

import concurrent.futures
import gc
import sys

import numpy as np

import swiftcnn

CALLS = 10_000
LARGEST_BATCH = 11  # More sizes than plans are kept, so that plans are made anew again and again.
ALLOWED_GROWTH = 16 << 20


def resident() -> int:
    """The bytes of memory that this process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def main() -> int:
    model = swiftcnn.create_model("efficientnet_b0", input_shape=(32, 32, 3), classes=10)
    random = np.random.default_rng(0)
    images = random.normal(size=(LARGEST_BATCH, 32, 32, 3)).astype(np.float32)
    expected = {count: model.predict_on_batch(images[:count]) for count in range(1, LARGEST_BATCH + 1)}

    def call(count: int) -> bool:
        return np.array_equal(model.predict_on_batch(images[:count]), expected[count])

    counts = random.integers(1, LARGEST_BATCH + 1, CALLS).tolist()
    failed = False
    for what, threads in (("one thread", 1), ("eight threads", 8)):
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            agrees = all(pool.map(call, counts[: CALLS // 10]))
            gc.collect()
            before = resident()
            agrees &= all(pool.map(call, counts))
            gc.collect()
            growth = resident() - before
        good = agrees and growth < ALLOWED_GROWTH
        failed |= not good
        print(f"{what}: {CALLS} calls, memory grew by {growth / 2**20:.1f} MB, bits {'agree' if agrees else 'DIFFER'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Learn the initial states of the context model from a folder of images.

    python benchmarks/train_states.py FOLDER [--out imfnb/format/states.bin] [--keep 1/2]

Every plane is factorized at several steps with the present states, and all of them are coded, in a shuffled order of
fixed seed, with one model that is carried from plane to plane. With ``--keep 1/2`` only every second image is used, so
that the others can be measured.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from planes import factorize, image_paths, read_planes

from imfnb.entropy import cpu
from imfnb.entropy.model import COUNT_BITS, untrained_model
from imfnb.factorization import rdoq
from imfnb.format import states

STEPS = (14, 22, 32, 46, 66, 95, 140)
"""Steps of luma in gray levels; chroma gets the share below."""
CHROMA = 0.55
COUNT_CAP = 24
"""Learned counts are capped here, so that a picture soon overrules them."""
FILE = Path(states.__file__).with_name("states.bin")


def training_factors(paths: list[Path], steps: tuple[float, ...]) -> Iterator[tuple[rdoq.Factors, int]]:
    """Factors of every plane at every step and patch size, with the patch size."""
    for patch_size in (8, 16):
        for path in paths:
            for number, plane in enumerate(read_planes(path)):
                for step in steps:
                    yield factorize(plane, round(64 * step * (CHROMA if number else 1.0)), patch_size), patch_size


def pack_model(model: np.ndarray) -> bytes:
    """Contents of states.bin for a model that has coded the training set.

    A count of the training becomes a quarter of it (2 and 6 measured the same), at most COUNT_CAP.
    """
    state = model["states"][0].astype(np.int64)
    counts = np.minimum((state & ((1 << COUNT_BITS) - 1)) // 4, COUNT_CAP)
    packed = (((state >> (COUNT_BITS + 10)) << 4) | (counts // 2)).astype("<u2")
    weights = np.clip((model["weights"][0] + 4) >> 3, -32768, 32767).astype("<i2")
    maps = model["maps"][0].astype("<u2")
    return zlib.compress(packed.tobytes() + weights.tobytes() + maps.tobytes(), 9)


def learn(paths: list[Path], steps: tuple[float, ...] = STEPS) -> bytes:
    """Contents of states.bin."""
    samples = list(training_factors(paths, steps))
    model = untrained_model()
    for index in np.random.default_rng(0).permutation(len(samples)):
        factors, patch_size = samples[index]
        for name in ("low", "position", "overrun"):
            model[name] = 0
        model["range"] = 0xFFFFFFFF
        cpu.encode_factors(factors.padded, factors.ranks, *factors.grid, patch_size, model)
    return pack_model(model)


def main() -> None:
    """Learn and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of lossless images")
    parser.add_argument("--out", type=Path, default=FILE, help="default: the package's own file")
    parser.add_argument("--keep", default="1/1", metavar="I/N", help="use images I, I + N, I + 2 N ...")
    options = parser.parse_args()
    first, stride = map(int, options.keep.split("/"))
    options.out.write_bytes(learn(image_paths(options.folder)[first - 1 :: stride]))


if __name__ == "__main__":
    main()

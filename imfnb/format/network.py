"""Numbers of the restoration network: section 10b of FORMAT.md.

``network.bin`` holds, for each kind of planes and each range of its step in their order, the layers of a network one
after the other: the biases as little-endian int32, then the weights as int8 of shape (outputs, inputs, 3, 3), the last
axis fastest.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache
from importlib.resources import files
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

STEP_LEAST, STEP_LARGEST = 2**6, 2**14
"""Steps in 1/64 gray level that the arithmetic is proven for, 1 and 256 gray levels; others count as the nearest."""

INPUT_BITS = 5
"""Fractional bits of a sample in units of the step, at the input of a network."""
INPUT_LIMIT = 2**15
"""Inputs are clamped to -INPUT_LIMIT and INPUT_LIMIT - 1: they fit 16 bits."""
RECIPROCAL_BITS = 14
"""Fractional bits of the factor that brings samples to that unit."""

ACTIVATION_MAX = 255
"""Activations are clamped to 0 and this: they fit unsigned bytes."""
SHIFTS = (5, 6, 7)
"""Bits by which the sums of the first layer, of those between and of the last one are shifted."""
CORRECTION_BITS = 8
"""Fractional bits of a correction in units of the step."""
CORRECTION_LIMIT = 2**10
"""Corrections are clamped to -CORRECTION_LIMIT and CORRECTION_LIMIT - 1, four steps."""

KERNEL = 3
"""Height and width of the weights of an output and an input, in cells of 2 x 2 samples."""
CHANNELS = 16
"""Outputs of every layer but the last."""
HIDDEN = {1: 4, 3: 2}
"""Layers between the first and the last one, by the number of input planes: of luma, and of chroma with its guide."""

#: First step of every range but the lowest, in 1/64 gray level, by kind of planes: luma, chroma of full and of half
#: size.
STEP_BORDERS: dict[str, tuple[int, ...]] = {
    "luma": (480, 960, 2112, 4800),
    "chroma": (640, 2048),
    "half": (512, 1536),
}


def layers(planes: int) -> list[tuple[int, int]]:
    """Inputs and outputs of every layer of the network for so many input planes.

    The four samples of a cell are inputs, or outputs, of their own. The last of several planes is the guide.
    """
    return list(pairwise([4 * planes, *[CHANNELS] * (HIDDEN[planes] + 1), 4 * max(planes - 1, 1)]))


def network(step: int, kind: str) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """The network for a step.

    Parameters
    ----------
    step : int
        Quantization step in 1/64 gray level.
    kind : {"luma", "chroma", "half"}
        What the planes are: luma or any other plane alone, chroma of full size or of half the size.

    Returns
    -------
    weights : ndarray of int8, shape (W,), read-only
        Those of all layers, one after the other, each of shape (outputs, inputs, 3, 3).
    biases : ndarray of int32, shape (N,), read-only
        Those of all layers.
    """
    return _networks()[kind][bisect_right(STEP_BORDERS[kind], step)]


@cache
def _networks() -> dict[str, list[tuple[NDArray[np.int8], NDArray[np.int32]]]]:
    """The contents of ``network.bin``."""
    data = files(__package__).joinpath("network.bin").read_bytes()
    found: dict[str, list[tuple[NDArray[np.int8], NDArray[np.int32]]]] = {}
    place = 0
    for kind, borders in STEP_BORDERS.items():
        for _ in range(len(borders) + 1):
            weights, biases = [], []
            for inputs, outputs in layers(1 if kind == "luma" else 3):
                biases.append(np.frombuffer(data, "<i4", outputs, place))
                place += 4 * outputs
                weights.append(np.frombuffer(data, np.int8, outputs * inputs * KERNEL**2, place))
                place += weights[-1].size
            both = np.concatenate(weights), np.concatenate(biases).astype(np.int32)
            for array in both:
                array.flags.writeable = False
            found.setdefault(kind, []).append(both)
    return found

"""The model of residual arrays in memory: all that the coder changes while it works, and where neighbours lie.

The planes of all bands stand one after the other with ABOVE guard rows above, BELOW below and SIDES guard columns on
each side, so that no neighbour of a sample needs a bounds check.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...format.context_model import CONTEXTS, NODES
from ...format.probability import SQUASH, STATE_BITS
from ...format.residual_model import (
    FIRST_WEIGHT,
    FLAT_COUNT,
    FLAT_PROBABILITY,
    MAP_ROWS,
    NEIGHBOURS,
    NUMBERS,
    REPEAT_PROBABILITY,
    STATES,
    TAPS,
    WEIGHT_ROWS,
)
from ..model import COUNT_BITS

__all__ = ["ABOVE", "BELOW", "SIDES", "initial_residual_model", "padded", "taps"]

#: Guard rows and columns.
ABOVE, BELOW, SIDES = 3, 2, 3

# fmt: off
# As `imfnb.entropy.model.MODEL`, with other sizes; the states of bins that are not mixed.
_MODEL = np.dtype([
    ("ix", np.int32, (CONTEXTS,)),
    ("st", np.int32, (CONTEXTS,)),
    ("address", np.int64), ("capacity", np.int64),
    ("low", np.int64), ("range", np.int64), ("position", np.int64), ("overrun", np.int64),
    ("node", np.int64), ("mixed", np.int64),
    ("states", np.int32, (STATES,)),
    ("weights", np.int32, (WEIGHT_ROWS * CONTEXTS,)),
    ("maps", np.int32, (MAP_ROWS * NODES,)),
    ("areas", np.int32, (5,)),
    ("repeats", np.int32, (256,)),
    ("parts", np.int32, (4 * 64 * 3,)),
    ("kinds", np.int32, (5,)),
    ("numbers", np.int32, (3 * NUMBERS,)),
], align=True)
# fmt: on


@lru_cache(maxsize=1)
def _first_model() -> np.ndarray:
    model, half = np.zeros(1, _MODEL), 1 << (STATE_BITS - 1 + COUNT_BITS)
    model["range"] = 0xFFFFFFFF
    for name in ("states", "parts", "kinds", "numbers"):
        model[name] = half
    model["repeats"] = REPEAT_PROBABILITY << COUNT_BITS
    model["weights"] = FIRST_WEIGHT
    model["maps"] = np.tile(SQUASH[np.clip(np.arange(NODES) * 128, 0, 4095)], MAP_ROWS)
    model["areas"] = FLAT_PROBABILITY << COUNT_BITS | FLAT_COUNT
    return model


def initial_residual_model() -> np.ndarray:
    """Return a fresh model as the format begins with it, the range coder at its start: array of shape (1,)."""
    return _first_model().copy()


def padded(shape: tuple[int, int, int]) -> np.ndarray:
    """Planes of zeros with guards, int32 (C, H + 5, W + 6)."""
    return np.zeros((shape[0], shape[1] + ABOVE + BELOW, shape[2] + 2 * SIDES), np.int32)


def taps(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the neighbours of a sample are that predict it, by the number of earlier bands that are looked at.

    Returns
    -------
    bands : ndarray of int64, shape (4, TAPS)
        How many bands earlier each neighbour is.
    offsets : ndarray of int64, shape (4, TAPS)
        Its distance from the sample in flat planes.
    counts : ndarray of int64, shape (4,)
        How many there are.
    """
    bands, offsets = np.zeros((4, TAPS), np.int64), np.zeros((4, TAPS), np.int64)
    stride = width + 2 * SIDES
    for row, neighbours in enumerate(NEIGHBOURS):
        for k, (band, dy, dx) in enumerate(neighbours):
            bands[row, k] = band
            offsets[row, k] = dy * stride + dx - band * (height + ABOVE + BELOW) * stride
    return bands, offsets, np.array([len(neighbours) for neighbours in NEIGHBOURS])

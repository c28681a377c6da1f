"""Initial state of the context model, learned on bsd34 by `benchmarks/train_states.py`: integers in `states.bin`.

`states.bin` is the zlib stream of three little-endian arrays, one after the other: for every probability state a
uint16 (12-bit probability of a one above a 4-bit half count), for every weight an int16 (1 / 2**13) and for every node
of the final maps a uint16. Learned on even and tested on odd pictures it saves 4.1% of the bytes (3.2% of luma at
step 42, 12% of chroma); separate tables for chroma gained nothing, and neither did counts capped at 60 instead of 24.
"""
from __future__ import annotations

import zlib
from functools import lru_cache
from importlib import resources

import numpy as np

from . import layout
from .layout import COUNT_BITS, WEIGHT_ONE
from .tables import SQUASH

#: Learned counts are capped here, so that a picture soon overrules them.
COUNT_CAP = 24


def untrained_model() -> np.ndarray:
    """Return a model that knows nothing: array of shape (1,) of layout.MODEL."""
    model = np.zeros(1, layout.MODEL)
    model["range"] = 0xFFFFFFFF
    model["states"] = 1 << (21 + COUNT_BITS)
    model["weights"] = WEIGHT_ONE // 6
    nodes = np.clip(np.arange(layout.NODES) * 128, 0, 4095)
    model["maps"] = np.tile(SQUASH[nodes], layout.MAP_ROWS)
    return model


def pack_model(model: np.ndarray) -> bytes:
    """Return the contents of `states.bin` for a model that has coded the training set.

    A count of the training becomes a quarter of it (2 and 6 measured the same), at most COUNT_CAP.
    """
    states = model["states"][0].astype(np.int64)
    counts = np.minimum((states & ((1 << COUNT_BITS) - 1)) // 4, COUNT_CAP)
    packed = (((states >> (COUNT_BITS + 10)) << 4) | (counts // 2)).astype("<u2")
    weights = np.clip((model["weights"][0] + 4) >> 3, -32768, 32767).astype("<i2")
    maps = model["maps"][0].astype("<u2")
    return zlib.compress(packed.tobytes() + weights.tobytes() + maps.tobytes(), 9)


@lru_cache(maxsize=1)
def learned_model() -> np.ndarray:
    # The package may be in a zip archive.
    data = zlib.decompress(resources.files(__package__).joinpath("states.bin").read_bytes())
    model = untrained_model()
    sizes = [2 * model[name].shape[1] for name in ("states", "weights", "maps")]
    packed = np.frombuffer(data, "<u2", sizes[0] // 2).astype(np.int64)
    model["states"] = ((((packed >> 4) << 10) | 512) << COUNT_BITS) | ((packed & 15) * 2)
    model["weights"] = np.frombuffer(data, "<i2", sizes[1] // 2, sizes[0]).astype(np.int32) << 3
    model["maps"] = np.frombuffer(data, "<u2", sizes[2] // 2, sizes[0] + sizes[1])
    return model


def initial_model() -> np.ndarray:
    """Return a fresh model, the range coder at its start: array of shape (1,) of layout.MODEL."""
    return learned_model().copy()

"""Initial state of the context model, learned on bsd34 by `benchmarks/train_states.py`: integers in `states.bin`.

`states.bin` is the zlib stream of three little-endian arrays, one after the other: for every probability state a
uint16 (12-bit probability of a one above a 4-bit half count), for every weight an int16 (1 / 2**13) and for every node
of the final maps a uint16. Learned on even and tested on odd pictures it saves 4.1% of the bytes (3.2% of luma at
step 42, 12% of chroma); separate tables for chroma gained nothing, and neither did counts capped at 60 instead of 24.
"""

from __future__ import annotations

import zlib
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from .context_model import CONTEXTS, MAP_ROWS, NODES, STATES, WEIGHT_ROWS

__all__ = ["State", "initial_state"]


class State(NamedTuple):
    """What a model knows; sections, contexts, slots and bin types as in FORMAT.md, 6.3.

    Attributes
    ----------
    probabilities, counts : ndarray of int32, shape (STATES,)
        Of every probability state.
    weights : ndarray of int32, shape (WEIGHT_ROWS * CONTEXTS,)
        Of the mixer.
    maps : ndarray of int32, shape (MAP_ROWS * NODES,)
        Nodes of the final maps.
    """

    probabilities: np.ndarray
    counts: np.ndarray
    weights: np.ndarray
    maps: np.ndarray


def initial_state() -> State:
    """What every segment begins with: the contents of ``states.bin``."""
    data = zlib.decompress(files(__package__).joinpath("states.bin").read_bytes())  # maybe from a zip archive
    packed = np.frombuffer(data, "<u2", STATES).astype(np.int32)
    weights = np.frombuffer(data, "<i2", WEIGHT_ROWS * CONTEXTS, 2 * STATES)
    maps = np.frombuffer(data, "<u2", MAP_ROWS * NODES, 2 * (STATES + WEIGHT_ROWS * CONTEXTS))
    return State((packed >> 4) << 10 | 512, 2 * (packed & 15), weights.astype(np.int32) << 3, maps.astype(np.int32))

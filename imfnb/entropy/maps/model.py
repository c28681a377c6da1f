"""The context model of maps in memory: all that the coder changes while it works."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...format.context_model import CONTEXTS, NODES
from ...format.map_model import (
    FIRST_WEIGHT,
    FLAT_COUNT,
    FLAT_PROBABILITY,
    MAP_ROWS,
    MAP_START,
    MEMORY,
    SAME,
    SET_0_START,
    STATE_START,
    STATES,
    SYMBOLS,
    WEIGHT_ROWS,
)
from ...format.probability import SQUASH, STATE_BITS
from ..model import COUNT_BITS, initial_model

__all__ = ["initial_map_model"]

# fmt: off
# As `imfnb.entropy.model.MODEL`, with other sizes; the states of flat areas, and the memory of what followed what.
_MODEL = np.dtype([
    ("ix", np.int32, (CONTEXTS,)),
    ("st", np.int32, (CONTEXTS,)),
    ("address", np.int64), ("capacity", np.int64),
    ("low", np.int64), ("range", np.int64), ("position", np.int64), ("overrun", np.int64),
    ("node", np.int64), ("mixed", np.int64),
    ("states", np.int32, (STATES,)),
    ("weights", np.int32, (WEIGHT_ROWS * CONTEXTS,)),
    ("maps", np.int32, (MAP_ROWS * NODES,)),
    ("areas", np.int32, (SYMBOLS,)),
    ("symbols", np.uint8, (MEMORY,)),
    ("trust", np.uint8, (MEMORY,)),
], align=True)
# fmt: on


@lru_cache(maxsize=1)
def _first_model() -> np.ndarray:
    model, learned = np.zeros(1, _MODEL), initial_model()
    model["range"] = 0xFFFFFFFF
    for name, length in (
        ("states", STATE_START[SAME]),
        ("weights", SET_0_START[SAME] * CONTEXTS),
        ("maps", MAP_START[SAME] * NODES),
    ):
        model[name][:, :length] = learned[name][:, :length]
    model["states"][:, STATE_START[SAME] :] = 1 << (STATE_BITS - 1 + COUNT_BITS)
    model["weights"][:, SET_0_START[SAME] * CONTEXTS :] = FIRST_WEIGHT
    nodes = np.clip(np.arange(NODES) * 128, 0, 4095)
    model["maps"][:, MAP_START[SAME] * NODES :] = np.tile(SQUASH[nodes], MAP_ROWS - MAP_START[SAME])
    model["areas"] = FLAT_PROBABILITY << COUNT_BITS | FLAT_COUNT
    return model


def initial_map_model() -> np.ndarray:
    """Return a fresh model as the format begins with it, the range coder at its start: array of shape (1,)."""
    return _first_model().copy()

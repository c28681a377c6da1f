"""The context model in memory: all that the coder changes while it works."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..format.context_model import CONTEXTS, MAP_ROWS, NODES, STATES, WEIGHT_ROWS
from ..format.probability import SQUASH, STATE_BITS, WEIGHT_ONE
from ..format.states import initial_state

__all__ = ["COUNT_BITS", "MODEL", "initial_model", "untrained_model"]

#: A probability state is the probability of a one, in STATE_BITS, above a count of so many bits: 31 together.
COUNT_BITS = 9

# fmt: off
#: Everything the coder changes, as one record: a kernel passes one pointer where seven arrays cost 49 words per call.
MODEL = np.dtype([
    ("ix", np.int32, (CONTEXTS,)),  # first state of each context of the symbol in flight
    ("st", np.int32, (CONTEXTS,)),  # mixer inputs of the bin in flight
    ("address", np.int64), ("capacity", np.int64),  # address and number of the bytes written or read
    ("low", np.int64), ("range", np.int64), ("position", np.int64), ("overrun", np.int64),  # range coder
    ("node", np.int64), ("mixed", np.int64),  # map entry and mixed probability of the bin in flight
    ("states", np.int32, (STATES,)),
    ("weights", np.int32, (WEIGHT_ROWS * CONTEXTS,)),
    ("maps", np.int32, (MAP_ROWS * NODES,)),
], align=True)
# fmt: on


def untrained_model() -> np.ndarray:
    """Return a model that knows nothing: array of shape (1,) of MODEL."""
    model = np.zeros(1, MODEL)
    model["range"] = 0xFFFFFFFF
    model["states"] = 1 << (STATE_BITS - 1 + COUNT_BITS)
    model["weights"] = WEIGHT_ONE // 6
    nodes = np.clip(np.arange(NODES) * 128, 0, 4095)
    model["maps"] = np.tile(SQUASH[nodes], MAP_ROWS)
    return model


@lru_cache(maxsize=1)
def _learned_model() -> np.ndarray:
    model = untrained_model()
    state = initial_state()
    model["states"] = state.probabilities << COUNT_BITS | state.counts
    model["weights"] = state.weights
    model["maps"] = state.maps
    return model


def initial_model() -> np.ndarray:
    """Return a fresh model as the format begins with it, the range coder at its start: array of shape (1,) of MODEL."""
    return _learned_model().copy()

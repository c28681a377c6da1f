"""The second model of U in memory: all that the coder changes while it works, and its networks."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...format.context_model import NODES
from ...format.neural_model import (
    BIAS_SHIFT_1,
    BIAS_SHIFT_2,
    BIAS_SHIFT_3,
    CONTEXTS,
    HIDDEN_1,
    HIDDEN_2,
    INPUTS,
    LAST_ROWS,
    MAP_ROWS,
    NET_START,
    NETS,
    SAID,
    SEEN,
    STATES,
    WEIGHT_ROWS,
)
from ...format.neural_states import State, initial_state
from ...format.probability import SQUASH, STATE_BITS, WEIGHT_ONE
from ..model import COUNT_BITS

__all__ = ["NEURAL_MODEL", "initial_model", "unpaired", "untrained_model", "with_networks"]

# fmt: off
#: As `imfnb.entropy.model.MODEL`; weights of networks lie in pairs, of which a vector holds one in every 32 bits.
NEURAL_MODEL = np.dtype([
    ("ix", np.int32, (INPUTS,)),  # first state of each context of the symbol in flight
    ("kept", np.int32, (INPUTS,)),  # those of the symbol's magnitude while its sign is coded
    ("st", np.int32, (INPUTS,)),  # mixer inputs of the bin in flight
    ("seen", np.int16, (SEEN,)),  # what the network sees of the symbol in flight
    ("said", np.int32, (SAID,)),  # and what it says
    ("address", np.int64), ("capacity", np.int64),  # address and number of the bytes written or read
    ("sink", np.int64),  # address where what networks see is kept, 0: nowhere
    ("low", np.int64), ("range", np.int64), ("position", np.int64), ("overrun", np.int64),  # range coder
    ("states", np.int32, (STATES,)),
    ("weights", np.int32, (WEIGHT_ROWS * INPUTS,)),
    ("last", np.int32, (LAST_ROWS * 2,)),
    ("maps", np.int32, (MAP_ROWS * NODES,)),
    ("layer_1", np.int16, (NETS * SEEN * HIDDEN_1,)),
    ("layer_2", np.int16, (NETS * HIDDEN_1 * HIDDEN_2,)),
    ("layer_3", np.int16, (NETS * HIDDEN_2 * SAID,)),
    ("bias_1", np.int32, (NET_START[-1] * HIDDEN_1,)),
    ("bias_2", np.int32, (NETS * HIDDEN_2,)),
    ("bias_3", np.int32, (NET_START[-1] * SAID,)),
], align=True)
# fmt: on


def _paired(layer: np.ndarray, neighbours: bool) -> np.ndarray:
    """Weights (nets, n, m) as pairs (nets, n / 2, m, 2): of two inputs side by side, or half of all inputs apart."""
    nets, n, m = layer.shape
    halves = layer.reshape(nets, n // 2, 2, m) if neighbours else layer.reshape(nets, 2, n // 2, m).swapaxes(1, 2)
    return halves.swapaxes(2, 3)


def unpaired(model: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights of the three layers of all networks of a model: arrays (nets, inputs, outputs)."""
    first, second, third = (model[f"layer_{k}"][0] for k in (1, 2, 3))
    return (
        first.reshape(NETS, SEEN // 2, HIDDEN_1, 2).swapaxes(2, 3).reshape(NETS, SEEN, HIDDEN_1),
        second.reshape(NETS, HIDDEN_1 // 2, HIDDEN_2, 2).transpose(0, 3, 1, 2).reshape(NETS, HIDDEN_1, HIDDEN_2),
        third.reshape(NETS, HIDDEN_2 // 2, SAID, 2).transpose(0, 3, 1, 2).reshape(NETS, HIDDEN_2, SAID),
    )


def untrained_model() -> np.ndarray:
    """Return a model that knows nothing and whose networks say nothing: array of shape (1,) of NEURAL_MODEL."""
    model = np.zeros(1, NEURAL_MODEL)
    model["range"] = 0xFFFFFFFF
    model["states"] = 1 << (STATE_BITS - 1 + COUNT_BITS)
    weights = np.full((WEIGHT_ROWS, INPUTS), WEIGHT_ONE // 16)
    weights[:, CONTEXTS:] = WEIGHT_ONE // 4
    model["weights"] = weights.ravel()
    model["last"] = WEIGHT_ONE // 2
    model["maps"] = np.tile(SQUASH[np.clip(np.arange(NODES) * 128, 0, 4095)], MAP_ROWS)
    return model


def with_networks(model: np.ndarray, state: State) -> np.ndarray:
    """The model with the networks of a state."""
    model["layer_1"] = _paired(state.layer_1, neighbours=True).ravel()
    model["layer_2"] = _paired(state.layer_2, neighbours=False).ravel()
    model["layer_3"] = _paired(state.layer_3, neighbours=False).ravel()
    shifts = BIAS_SHIFT_1, BIAS_SHIFT_2, BIAS_SHIFT_3
    for name, shift in zip(("bias_1", "bias_2", "bias_3"), shifts, strict=True):
        model[name] = getattr(state, name).astype(np.int32).ravel() << shift
    return model


@lru_cache(maxsize=1)
def _learned_model() -> np.ndarray:
    state = initial_state()
    model = with_networks(untrained_model(), state)
    packed = state.states.astype(np.int32)
    model["states"] = ((packed >> 4) << 10 | 512) << COUNT_BITS | 2 * (packed & 15)
    model["weights"] = state.weights.astype(np.int32).ravel() << 3
    model["last"] = state.last.astype(np.int32).ravel() << 3
    model["maps"] = state.maps.ravel()
    return model


def initial_model() -> np.ndarray:
    """Return a fresh model as the format begins with it: array of shape (1,) of NEURAL_MODEL."""
    return _learned_model().copy()

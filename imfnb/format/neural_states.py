"""Initial state of the second model of U, learned on cid22 by `benchmarks/train_neural.py`: `neural_states.bin`.

The file is the zlib stream of little-endian arrays of 16 bits, one after the other, in the order of :class:`State`.
"""

from __future__ import annotations

import zlib
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from .context_model import NODES
from .neural_model import (
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

__all__ = ["LAYOUT", "State", "initial_state"]


class State(NamedTuple):
    """What a model knows, as it is stored: integers of 16 bits; section 17.2 of FORMAT.md.

    Attributes
    ----------
    states : ndarray of uint16, shape (STATES,)
        12-bit probability of a one above a 4-bit half count.
    weights : ndarray of int16, shape (WEIGHT_ROWS, INPUTS)
        Of the two mixers, in 1 / 2**13.
    last : ndarray of int16, shape (LAST_ROWS, 2)
        Of the mixer of the two, in 1 / 2**13.
    maps : ndarray of uint16, shape (MAP_ROWS, NODES)
        Nodes of the final maps.
    layer_1 : ndarray of int16, shape (NETS, SEEN, HIDDEN_1)
    layer_2 : ndarray of int16, shape (NETS, HIDDEN_1, HIDDEN_2)
    layer_3 : ndarray of int16, shape (NETS, HIDDEN_2, SAID)
        Weights of the networks, in 1 / 2**10.
    bias_1 : ndarray of int16, shape (NET_START[-1], HIDDEN_1)
        In 1 / 2**10.
    bias_2 : ndarray of int16, shape (NETS, HIDDEN_2)
        In 1 / 2**10.
    bias_3 : ndarray of int16, shape (NET_START[-1], SAID)
        In 1 / 2**8.
    """

    states: np.ndarray
    weights: np.ndarray
    last: np.ndarray
    maps: np.ndarray
    layer_1: np.ndarray
    layer_2: np.ndarray
    layer_3: np.ndarray
    bias_1: np.ndarray
    bias_2: np.ndarray
    bias_3: np.ndarray


#: Type and shape of each array of the file.
LAYOUT = {
    "states": ("<u2", (STATES,)),
    "weights": ("<i2", (WEIGHT_ROWS, INPUTS)),
    "last": ("<i2", (LAST_ROWS, 2)),
    "maps": ("<u2", (MAP_ROWS, NODES)),
    "layer_1": ("<i2", (NETS, SEEN, HIDDEN_1)),
    "layer_2": ("<i2", (NETS, HIDDEN_1, HIDDEN_2)),
    "layer_3": ("<i2", (NETS, HIDDEN_2, SAID)),
    "bias_1": ("<i2", (NET_START[-1], HIDDEN_1)),
    "bias_2": ("<i2", (NETS, HIDDEN_2)),
    "bias_3": ("<i2", (NET_START[-1], SAID)),
}


def initial_state() -> State:
    """What every segment begins with: the contents of ``neural_states.bin``."""
    data = zlib.decompress(files(__package__).joinpath("neural_states.bin").read_bytes())
    parts, start = {}, 0
    for name, (kind, shape) in LAYOUT.items():
        count = int(np.prod(shape))
        parts[name] = np.frombuffer(data, kind, count, start).reshape(shape)
        start += 2 * count
    return State(**parts)

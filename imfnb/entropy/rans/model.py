"""Networks and tables of the coder in parallel lanes as its kernels want them."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...format.context_model import component_table, zigzag
from ...format.rans_model import (
    DIFFERENCES,
    FREQUENCY_BITS,
    HIDDEN,
    INPUTS,
    LEVELS,
    LOG,
    MAGNITUDES,
    NETS,
    PLACE_BITS,
    SIGNED_COMPONENTS,
    SYMBOLS,
    Networks,
    group_of,
    networks,
)

__all__ = ["FIRST_SIGN_ROWS", "PLACE_ROWS", "SIGN_ROWS", "Model", "components", "kernel_model", "model_of"]

#: Where the tables of places and of signs begin, after those of networks.
PLACE_ROWS = NETS * 2 * LEVELS
FIRST_SIGN_ROWS = PLACE_ROWS + SYMBOLS
SIGN_ROWS = FIRST_SIGN_ROWS + (2 * DIFFERENCES + 1) * (MAGNITUDES + 1)


class Model(NamedTuple):
    """What the kernels read.

    Attributes
    ----------
    pairs_1 : ndarray of int32, shape (NETS, INPUTS / 2, HIDDEN)
        Weights of two inputs in a word.
    weights_1 : ndarray of int16, shape (NETS, INPUTS, HIDDEN)
    biases_1 : ndarray of int32, shape (NETS, HIDDEN)
    pairs_2 : ndarray of int32, shape (NETS, HIDDEN / 2)
    biases_2 : ndarray of int32, shape (NETS,)
    starts : ndarray of int16, shape (rows, SYMBOLS)
        First slot of every symbol of every table.
    slots : ndarray of uint32, shape (rows, SYMBOLS)
        The same, and the number of its slots above 16 bits.
    """

    pairs_1: np.ndarray
    weights_1: np.ndarray
    biases_1: np.ndarray
    pairs_2: np.ndarray
    biases_2: np.ndarray
    starts: np.ndarray
    slots: np.ndarray


def _pairs(weights: np.ndarray) -> np.ndarray:
    """Two weights beside each other along the first axis but one in a word."""
    low, high = weights[:, 0::2].astype(np.int64) & 0xFFFF, weights[:, 1::2].astype(np.int64) & 0xFFFF
    return (low | high << 16).astype(np.uint32).view(np.int32)


def _of_bits(ones: np.ndarray) -> np.ndarray:
    """Tables of bits, from the frequencies of a one."""
    out = np.zeros((ones.size, SYMBOLS), np.int64)
    out[:, 1] = ones.ravel()
    out[:, 0] = (1 << FREQUENCY_BITS) - out[:, 1]
    return out


def model_of(known: Networks) -> Model:
    """The model of some networks and tables."""
    said = known.frequencies.reshape(-1, SYMBOLS).astype(np.int64)
    places = np.zeros((SYMBOLS, SYMBOLS), np.int64)
    places[:, : 1 << PLACE_BITS] = known.places
    rows = np.concatenate([said, places, _of_bits(known.first_signs), _of_bits(known.signs)])
    starts = np.cumsum(rows, axis=1) - rows
    return Model(
        _pairs(known.weights_1).reshape(NETS, INPUTS // 2, HIDDEN),
        np.ascontiguousarray(known.weights_1, np.int16),
        np.ascontiguousarray(known.biases_1, np.int32),
        _pairs(known.weights_2),
        np.ascontiguousarray(known.biases_2, np.int32),
        starts.astype(np.int16),
        (starts | rows << 16).astype(np.uint32),
    )


@lru_cache(maxsize=1)
def kernel_model() -> Model:
    """The model of the format."""
    return model_of(networks())


@lru_cache(maxsize=2)
def components(patch_size: int) -> np.ndarray:
    """What the kernels need to know of every component, int32 (N, 15).

    The components that count for it, as `passes.component_inputs` names them: two relatives, three before it and two of
    the same direction; its five inputs that say where it is; its group; the kind of the contexts of its signs, or -1,
    and whether these follow the slope across.
    """
    order, table = zigzag(patch_size), component_table(patch_size)
    number = {(int(a), int(b)): k for k, (a, b) in enumerate(order)}
    out = np.zeros((len(order), 15), np.int32)
    for r, (i, j) in enumerate(order.tolist()):
        before = [max(r - k, 0) for k in (1, 2, 3)]
        far = number[i - 2, j] if i >= 2 else 0, number[i, j - 2] if j >= 2 else 0
        place = int(LOG[i]), int(LOG[j]), 256 * i // patch_size, 256 * j // patch_size, 8 * patch_size
        sign = SIGNED_COMPONENTS.get(r, (-1, False))
        out[r] = (*table[r, :2], *before, *far, *place, max(group_of(r), 0), *sign)
    return out

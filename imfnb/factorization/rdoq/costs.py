"""Static models of the encoder: frequencies counted over the previous sweep as bits, and the costs of the proxy."""

from __future__ import annotations

import numpy as np

from ...format.context_model import GROUPS

__all__ = [
    "FIRST_CLASSES",
    "FIRST_CONTEXTS",
    "INSIDE_CONTEXTS",
    "MAGNITUDE_CLASSES",
    "MAGNITUDE_CONTEXTS",
    "MANTISSAS",
    "NEAR_LIMIT",
    "PROXY_COSTS",
    "PROXY_FIRST",
    "RANK_CLASSES",
    "cost_table",
    "log2",
    "log2_fixed",
    "rank_costs",
    "rank_counts",
]

#: Contexts and residual classes of the first component's cost model.
FIRST_CONTEXTS = 12
FIRST_CLASSES = 64

#: Magnitudes that the cost model of the components from 1 on tells apart; the last stands for all that are larger.
MAGNITUDE_CLASSES = 16

#: Magnitudes count up to this in what contexts know of the components before (as in the entropy coder's contexts).
NEAR_LIMIT = 40

#: Contexts of a magnitude inside its patch: 12 levels of the magnitudes so far, 10 of the number of components to come,
#: 6 rings of frequencies. Zero to come: the last component, whose zero flag is not coded.
INSIDE_CONTEXTS = 12 * 10 * 6

#: Contexts of both kinds. Those around it, second: the last component or not, 24 groups of components, 16 levels of the
#: magnitudes around it and of its parents.
MAGNITUDE_CONTEXTS = INSIDE_CONTEXTS + 2 * GROUPS * 16

#: Classes of a rank below 256 and of the mean of those around it: their bit lengths.
RANK_CLASSES = 9

# Bit length of every rank.
_LENGTHS = np.array([rank.bit_length() for rank in range(256)])


def log2_fixed(values: np.ndarray, bits: int = 8) -> np.ndarray:
    """Return round(log2(values) * 2**bits) of positive integers below 2**31, by repeated squaring (int64)."""
    v = np.asarray(values, np.int64)
    whole = np.zeros_like(v)
    mantissa = v.copy()
    for shift in (16, 8, 4, 2, 1):
        big = mantissa >= (1 << shift)
        whole += np.where(big, shift, 0)
        mantissa = np.where(big, mantissa >> shift, mantissa)
    x = (v << 30) >> whole
    result = whole
    for _ in range(bits + 1):
        x = (x * x) >> 30
        carry = x >> 31
        result = 2 * result + carry
        x >>= carry
    return (result + 1) >> 1


#: round(256 log2(1 + k / 4096)), uint16.
MANTISSAS = (log2_fixed(4096 + np.arange(4096, dtype=np.int64)) - (12 << 8)).astype(np.uint16)


def log2(values: np.ndarray) -> np.ndarray:
    """256 log2 of positive integers below 2**52, from their leading 13 bits: integers that are at most one too small.

    `log2_fixed` took a tenth of an encoding.
    """
    mantissa, octave = np.frexp(values.astype(np.float64))
    return (octave.astype(np.int64) - 1) * 256 + MANTISSAS[((2 * mantissa - 1) * 4096).astype(np.int64)]


def cost_table(counts: np.ndarray, sign: int, out: np.ndarray) -> None:
    """Turn the (smoothed) relative frequencies of each row of classes into costs.

    Parameters
    ----------
    counts : ndarray of COUNTS, shape (K, contexts, classes)
        Frequencies; those of a row add up to less than 2**26.
    sign : int
        Added to the cost of every class but 0, in 1/256 bit.
    out : ndarray of int32, shape (K, contexts, classes)
        Receives -log2 of the share of every class, in 1/256 bit.
    """
    smooth = 16 * counts + 1
    out[...] = log2(smooth.sum(axis=2, keepdims=True)) - log2(smooth)
    out[..., 1:] += sign


def rank_costs(table: np.ndarray, count: int) -> np.ndarray:
    """Return the cost of the first `count` ranks given the class of their neighbours, 1/256 bit, int64 (9, count).

    The bit length costs what `table`, int32 (9, 9), says, each further bit one bit.
    """
    lengths = _LENGTHS[:count]
    return table[:, lengths] + 256 * np.maximum(lengths - 1, 0)


def rank_counts(ranks: np.ndarray, classes: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Return the number of patches of each class of neighbours and bit length of the rank, (9, 9)."""
    inside, shape = np.s_[2 : 2 + grid[0], 2 : 2 + grid[1]], (grid[0] + 3, grid[1] + 4)
    pairs = classes.reshape(shape)[inside] * RANK_CLASSES + _LENGTHS[ranks.reshape(shape)[inside]]
    return np.bincount(pairs.ravel(), minlength=RANK_CLASSES**2).reshape(RANK_CLASSES, RANK_CLASSES)


def _proxy_tables() -> tuple[np.ndarray, np.ndarray]:
    """Return the costs (unit: step**2 / 4096) of a coefficient and of a step of component 0, index in 1 / 16.

    A coefficient c is dropped for c**2 or kept for 0.08 + 0.13 (6 + 2 log2(1 + c)); a change e of component 0 between
    two patches costs 0.13 (2 + 1.5 log2(1 + e)).
    """
    c = np.arange(1024, dtype=np.int64)
    log = log2_fixed(16 + c) - (4 << 8)
    kept = 4096 * 8 // 100 + 4096 * 13 * (6 * 256 + 2 * log) // 25600
    return np.minimum(16 * c * c, kept), 4096 * 13 * (4 * 256 + 3 * log) // 51200


PROXY_COSTS, PROXY_FIRST = _proxy_tables()

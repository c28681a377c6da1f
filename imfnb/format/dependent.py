"""Dependent quantization: U on a trellis of states, in quarters of the nominal step. Section 7.5 of FORMAT.md.

The components of a patch are visited in zig-zag order from 1 to its active rank, and each has an index k. In a coarse
state u is 4 k, one step for each unit of k. In a fine one it is half a step nearer to zero, but no nearer than three
quarters. k leads to the next state. Component 0 is 4 k.
"""

from __future__ import annotations

import numpy as np

__all__ = ["FINE", "FINE_FIRST", "INDEX_LIMIT", "NEXT", "STATES", "UNIT", "fine_step", "to_entries", "to_indices"]

#: Units of U in a nominal step, and the least magnitude but zero that a fine quantizer has.
UNIT, FINE_FIRST = 4, 3

#: Whether the quantizer of a state is the fine one. A patch begins in state 0.
FINE = (0, 0, 1, 1)

#: Number of states.
STATES = len(FINE)

#: The next state, by the state and the kind of the index: zero, +-1, even, odd.
NEXT = ((0, 2, 0, 2), (1, 0, 2, 0), (1, 3, 1, 3), (3, 1, 3, 1))

#: Largest magnitude of an index that is to be expected; entries fit 15 bits.
INDEX_LIMIT = 4095


def fine_step(step: int) -> int:
    """Return the step in 1/64 gray level that V is made with, for the nominal step of a plane."""
    return max(1, (step + UNIT // 2) // UNIT)


def to_entries(indices: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return U for the indices of all patches.

    Parameters
    ----------
    indices : ndarray of int16, shape (R, size)
        k; larger magnitudes count as INDEX_LIMIT.
    ranks : ndarray of int32, shape (size,)
        Active rank of every patch.

    Returns
    -------
    ndarray of int16, shape (R, size)
        U.
    """
    k = np.clip(indices.astype(np.int64), -INDEX_LIMIT, INDEX_LIMIT)
    magnitudes, state = UNIT * np.abs(k), np.zeros(k.shape[1], np.int64)
    following, fine = np.array(NEXT), np.array(FINE)
    for r in range(1, len(k)):
        a = np.abs(k[r])
        nearer = np.maximum(magnitudes[r] - UNIT // 2, FINE_FIRST)
        magnitudes[r] = np.where((fine[state] == 1) & (a > 0), nearer, magnitudes[r])
        kind = np.where(a < 2, a, 2 + (a & 1))
        state = np.where(r <= ranks, following[state, kind], state)
    return (np.sign(k) * magnitudes).astype(np.int16)


def to_indices(entries: np.ndarray) -> np.ndarray:
    """Undo :func:`to_entries`, which needs no states."""
    return (np.sign(entries) * ((np.abs(entries) + UNIT // 2) // UNIT)).astype(np.int16)

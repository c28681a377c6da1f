"""Dependent quantization: U on a trellis of states, at a step finer than the nominal one. Section 9.3 of FORMAT.md.

The components of a patch are visited in zig-zag order from 1 to its active rank. Each is an index k times two fine
steps in the states of class 0, and that less one fine step towards zero in those of class 1; the parity of k leads to
the next state. Component 0 has a state of its own, of class 0.
"""

from __future__ import annotations

import numpy as np

__all__ = ["FINENESS", "NEXT", "STATES", "STATE_CLASSES", "fine_step", "to_entries", "to_indices"]

#: The next state, by the state and the parity of k. A state begins as 0; half its number, rounded down, is its class.
NEXT = ((0, 2), (2, 0), (1, 3), (3, 1))

#: Number of states, and of classes of states.
STATES, STATE_CLASSES = 4, 2

#: Fine step in 1/16 of the nominal one.
FINENESS = 9


def fine_step(step: int) -> int:
    """Return the step in 1/64 gray level that V is made with, for the nominal step of a plane."""
    return max(1, (step * FINENESS + 8) >> 4)


def to_entries(indices: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return U for the indices of all patches.

    Parameters
    ----------
    indices : ndarray of int16, shape (R, size)
        k; within +-8191.
    ranks : ndarray of int32, shape (size,)
        Active rank of every patch.

    Returns
    -------
    ndarray of int16, shape (R, size)
        U.
    """
    entries, state, successors = 2 * indices, np.zeros(indices.shape[1], np.int64), np.array(NEXT)
    for r in range(1, len(indices)):
        k = indices[r]
        entries[r] -= np.where(state >= STATES // STATE_CLASSES, np.sign(k), 0).astype(np.int16)
        state = np.where(r <= ranks, successors[state, k & 1], state)
    return entries


def to_indices(entries: np.ndarray) -> np.ndarray:
    """Undo :func:`to_entries`, which needs no states."""
    return (np.sign(entries) * ((np.abs(entries) + 1) >> 1)).astype(np.int16)

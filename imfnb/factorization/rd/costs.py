"""Static cost models of the encoder: frequencies counted over the previous sweep, turned into bits."""

from __future__ import annotations

import numpy as np

from ...entropy.tables import log2_fixed

__all__ = [
    "FIRST_CLASSES",
    "FIRST_CONTEXTS",
    "MAGNITUDE_CLASSES",
    "PROXY_COSTS",
    "PROXY_FIRST",
    "cost_table",
    "magnitude_prices",
    "rank_costs",
]

#: Contexts and residual classes of the first component's cost model.
FIRST_CONTEXTS = 12
FIRST_CLASSES = 64


#: Magnitudes that the first sweep's cost model tells apart; the last stands for all that are larger.
MAGNITUDE_CLASSES = 16


def cost_table(counts: np.ndarray) -> np.ndarray:
    """Return -log2 of the (smoothed) relative frequencies of each row, in 1 / 256 bit, int32 like counts."""
    c = 16 * counts + 1
    return (log2_fixed(c.sum(axis=1, keepdims=True)) - log2_fixed(c)).astype(np.int32)


def magnitude_prices(counts: np.ndarray) -> np.ndarray:
    """Return the cost of every magnitude with its sign in 1 / 256 bit, int32 like counts.

    In the second half of the contexts, those of a patch's last component, zero is not coded and costs nothing.
    """
    prices = cost_table(counts)
    prices[:, 1:] += 256
    prices[len(prices) // 2 :, 0] = 0
    return prices


def rank_costs(ranks: np.ndarray, classes: np.ndarray, grid_h: int, grid_w: int, rank_max: int) -> np.ndarray:
    """Return the cost of every rank given the class of its neighbours, 1 / 256 bit, int64 (9, rank_max).

    The bit length costs what its frequency says, each further bit one bit.
    """
    lengths = np.array([int(k).bit_length() for k in range(rank_max)])
    inside = (slice(2, 2 + grid_h), slice(2, 2 + grid_w))
    shape = (grid_h + 3, grid_w + 4)
    q = classes.reshape(shape)[inside].ravel()
    k = lengths[ranks.reshape(shape)[inside].ravel()]
    counts = np.bincount(q * 9 + k, minlength=81).reshape(9, 9)
    return cost_table(counts)[:, lengths] + 256 * np.maximum(lengths - 1, 0)


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

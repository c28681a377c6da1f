"""Dependent quantization of planes, one thread of Numba.

A path that comes to component r of a patch in a state continues with one of the two indices nearest to
c = 2**s (X v_r) / |v_r|**2 that the quantizer of the state has, or with zero. Of four neighbouring multiples of the
fine step around |c| each belongs to another class of states or leads to another state. Costs are those of
`imfnb.factorization.rdoq.cpu`: exact integers.
"""

from __future__ import annotations

import numpy as np

from ....entropy.layout import LEVELS, LEVELS_9, LEVELS_11, MAGNITUDE_LIMIT, SUM_LIMIT
from ....format.context_model import GROUPS
from ....format.dependent import NEXT
from ....runtime.jit import kernel
from ..costs import INSIDE_CONTEXTS, MAGNITUDE_CLASSES, NEAR_LIMIT, rank_costs
from ..reference import Array, Grid

__all__ = ["choose", "count_magnitudes", "to_entries"]

_jit = kernel(error_model="numpy")
_inline = kernel(error_model="numpy", forceinline=True)

_NEXT = np.array(NEXT, np.int64)

# The largest quotient that is told from larger ones: the two entries above it are of indices within half of
# MAGNITUDE_LIMIT.
_MOST = MAGNITUDE_LIMIT - 4

# What an impossible path costs; no sum of costs reaches it.
_NEVER = 1 << 62


@_inline
def _price(prices, one, two, k):
    top = np.uint64(min(k, MAGNITUDE_CLASSES - 1))
    return np.int64(prices[one, top]) + prices[two, top]


@_jit
def _choose(num, lengths, scale, lam, contexts, prices, classes, rank_table, U, ranks):
    """See :func:`choose`; rank_table (int64, (9, R)) holds the cost of every rank for each class of neighbours.

    Until the path is known, U holds how each state was reached: two bits for each.
    """
    size = ranks.size
    # The exact quotient: half a unit of the numerator is far more than what rounding moves.
    factor = np.float64(1 << scale)
    inverse = np.empty(lengths.size, np.float64)
    for r in range(lengths.size):
        inverse[r] = 1.0 / np.float64(lengths[r])
    for m in range(size):
        rank = np.int64(ranks[m])
        if rank == 0:
            continue
        kept, kept_state, kept_u = np.int64(0), np.int64(0), np.int64(0)
        best = (lam * rank_table[classes[m], 0]) >> 16
        j0, j1, j2, j3 = np.int64(0), np.int64(_NEVER), np.int64(_NEVER), np.int64(_NEVER)
        for r in range(1, rank + 1):
            one, two = np.uint64(contexts[0, r, m]), np.uint64(contexts[1, r, m])
            den, a = lengths[r], abs(np.int64(num[r, m]))
            v = a << (scale + 1)
            b = np.int64(min((np.float64(a) * factor + 0.5) * inverse[r], np.float64(_MOST)))
            # u of 0 to 3 modulo 4 among b - 1 to b + 2: the index is even or odd, in class 0 or 1.
            first = b - 1
            u0 = first + (-first & 3)
            u1 = first + ((1 - first) & 3)
            u2 = first + ((2 - first) & 3)
            u3 = first + ((3 - first) & 3)
            z0 = (lam * _price(prices[0], one, two, np.int64(0))) >> 17
            z1 = (lam * _price(prices[1], one, two, np.int64(0))) >> 17
            c0 = c3 = np.int64(_NEVER)
            if u0 > 0:
                c0 = u0 * (u0 * den - v) + ((lam * _price(prices[0], one, two, u0 >> 1)) >> 17)
            c1 = u1 * (u1 * den - v) + ((lam * _price(prices[1], one, two, (u1 + 1) >> 1)) >> 17)
            c2 = u2 * (u2 * den - v) + ((lam * _price(prices[0], one, two, u2 >> 1)) >> 17)
            if u3 > 0:
                c3 = u3 * (u3 * den - v) + ((lam * _price(prices[1], one, two, (u3 + 1) >> 1)) >> 17)
            # The path may end here with an entry that is not zero.
            low, high = min(j0, j1) + min(c0, c2), min(j2, j3) + min(c1, c3)
            whole = min(low, high) + ((lam * rank_table[classes[m], r]) >> 16)
            if whole < best:
                best, kept = whole, np.int64(r)
                if low <= high:
                    kept_state = np.int64(0) if j0 <= j1 else np.int64(1)
                    kept_u = u0 if c0 <= c2 else u2
                else:
                    kept_state = np.int64(2) if j2 <= j3 else np.int64(3)
                    kept_u = u1 if c1 <= c3 else u3
            e0, e1 = min(z0, c0), min(z1, c3)
            back = np.int64(0)
            a0, b0 = j0 + e0, j1 + c2
            a1, b1 = j2 + e1, j3 + c1
            a2, b2 = j0 + c2, j1 + e0
            a3, b3 = j2 + c1, j3 + e1
            back = (1 if b0 < a0 else 0) + (2 if b1 < a1 else 0) + (4 if b2 < a2 else 0) + (8 if b3 < a3 else 0)
            back += (16 if c0 < z0 else 0) + (32 if c3 < z1 else 0)
            U[r, m] = back
            j0, j1, j2, j3 = min(a0, b0, _NEVER), min(a1, b1, _NEVER), min(a2, b2, _NEVER), min(a3, b3, _NEVER)
        for r in range(kept + 1, rank + 1):
            U[r, m] = 0
        if kept:
            k = (kept_u + 1) >> 1
            U[kept, m] = k if num[kept, m] > 0 else -k
        state = kept_state
        for r in range(kept - 1, 0, -1):
            back = np.int64(U[r, m])
            second = (back >> state) & 1
            # States 0 and 2 are reached from 0 and 1, states 1 and 3 from 2 and 3.
            kind = state & 1
            odd = second ^ (state >> 1)
            k = np.int64(0)
            if odd or (back >> (4 + kind)) & 1:
                a = abs(np.int64(num[r, m]))
                first = np.int64(min((np.float64(a) * factor + 0.5) * inverse[r], np.float64(_MOST))) - 1
                rest = (2 if odd else 0) if kind == 0 else (1 if odd else 3)
                k = (first + ((rest - first) & 3) + 1) >> 1
            U[r, m] = k if num[r, m] > 0 else -k
            state = 2 * kind + second
        ranks[m] = kept


@_jit
def _count_magnitudes(U, ranks, table, stride, contexts, counts):
    """As `imfnb.factorization.rdoq.cpu._count_magnitudes`, with the class of the state."""
    top, size = contexts.shape[1:]
    magnitudes = np.zeros((top, size), np.uint8)
    for r in range(1, top):
        line, row = magnitudes[r], U[r]
        for m in range(size):
            line[m] = min(abs(np.int32(row[m])), np.int32(255))
    for m in range(size):
        rank, own, state = np.int64(ranks[m]), np.int64(0), np.int64(0)
        for r in range(1, rank + 1):
            line, first, second = magnitudes[r], magnitudes[table[r, 0]], magnitudes[table[r, 1]]
            near = 2 * (np.int64(line[m - 1]) + line[m - stride] + first[m] + second[m])
            near += np.int64(line[m - stride - 1]) + line[m - stride + 1]
            near += np.int64(first[m + 1]) + first[m + stride] + second[m + 1] + second[m + stride]
            rest = rank - r
            inside = np.int64(LEVELS_11[own]) * 10 + np.int64(LEVELS_9[rest])
            inside = inside * 6 + table[r, 4]
            around = INSIDE_CONTEXTS + table[r, 3] * 16 + np.int64(LEVELS[near])
            around += 0 if rest else GROUPS * 16
            a = np.int64(line[m])
            magnitude = min(a, MAGNITUDE_CLASSES - 1)
            contexts[0, r, m], contexts[1, r, m] = inside, around
            counts[state >> 1, inside, magnitude] += 1
            counts[state >> 1, around, magnitude] += 1
            own = min(own + min(a, NEAR_LIMIT), SUM_LIMIT)
            state = _NEXT[state, np.int64(U[r, m]) & 1]


@_jit
def _to_entries(U, ranks):
    line = U[0]
    for m in range(ranks.size):
        line[m] = 2 * line[m]
    for m in range(ranks.size):
        state = np.int64(0)
        for r in range(1, np.int64(ranks[m]) + 1):
            k = np.int64(U[r, m])
            less = state >> 1 if k else 0
            U[r, m] = 2 * k - (less if k > 0 else -less)
            state = _NEXT[state, k & 1]


# ---- stacks of planes ------------------------------------------------------------------------------------------------


def count_magnitudes(factors: Array, ranks: Array, table: Array, grid: Grid, contexts: Array, counts: Array) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.trellis.reference.count_magnitudes`."""
    counts[...] = 0
    for k in range(len(factors)):
        _count_magnitudes(factors[k], ranks[k], table, grid[1] + 4, contexts[k], counts[2 * k : 2 * k + 2])


def choose(
    products: Array,
    lengths: Array,
    scale: int,
    lam: int,
    contexts: Array,
    prices: Array,
    classes: Array,
    rank_table: Array,
    grid: Grid,
    factors: Array,
    ranks: Array,
) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.trellis.reference.choose`."""
    for k in range(len(factors)):
        costs = rank_costs(rank_table[k], contexts.shape[2])
        numbers = products[k], lengths, scale, lam, contexts[k], prices[2 * k : 2 * k + 2], classes[k], costs
        _choose(*numbers, factors[k], ranks[k])


def to_entries(factors: Array, ranks: Array, grid: Grid) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.trellis.reference.to_entries`."""
    for k in range(len(factors)):
        _to_entries(factors[k], ranks[k])

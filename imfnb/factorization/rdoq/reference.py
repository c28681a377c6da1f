"""The kernels of `cpu.py` in plain NumPy, same names and arguments, same integers."""
from __future__ import annotations

import numpy as np

from ...entropy.layout import GROUPS, LEVEL, MAGNITUDE_LIMIT
from ..reference import update_column
from .costs import (
    FIRST_CLASSES,
    FIRST_CONTEXTS,
    INSIDE_CONTEXTS,
    MAGNITUDE_CLASSES,
    PRIOR,
    PROXY_COSTS,
    PROXY_FIRST,
    log2,
)


def _inside(image: np.ndarray, gh: int, gw: int) -> np.ndarray:
    """Return the view of the patches of padded images, (..., gh, gw)."""
    return image.reshape(*image.shape[:-1], gh + 3, gw + 4)[..., 2:2 + gh, 2:2 + gw]


def numerators(plane: np.ndarray, p: int, basis: np.ndarray, out: np.ndarray) -> None:
    """Write X v_r to out (int32, (R, size), padded) for the first R columns."""
    gh, gw = plane.shape[0] // p, plane.shape[1] // p
    X = plane.reshape(gh, p, gw, p).transpose(0, 2, 1, 3).reshape(gh, gw, p * p).astype(np.int64)
    _inside(out, gh, gw)[:] = np.moveaxis(X @ basis[:, :len(out)].astype(np.int64), 2, 0)


def quantize(num: np.ndarray, lengths: np.ndarray, scale: int, trail: int, U: np.ndarray, ranks: np.ndarray) -> None:
    """Write U = round(2**s (X v_r) / |v_r|**2) and the active ranks; U starts as zeros."""
    den = lengths[:len(num), None]
    a = np.abs(num.astype(np.int64))
    q = np.minimum(((a << (scale + 1)) + den) // (2 * den), MAGNITUDE_LIMIT >> 1)
    q[a < den >> (scale + 1)] = 0
    strong = a >= (den * trail) >> (8 + scale)
    strong[0] = False
    index = np.arange(len(num))[:, None]
    np.maximum(ranks, (strong * index).max(axis=0), out=ranks)
    q[(index > ranks) & (index > 0)] = 0
    U[:] = np.sign(num) * q


def choose(num: np.ndarray, lengths: np.ndarray, scale: int, lam: int, contexts: np.ndarray, prices: np.ndarray,
           classes: np.ndarray, rank_table: np.ndarray, U: np.ndarray, ranks: np.ndarray) -> None:
    """Choose u among |u|, one less and zero, and the active rank of every patch, in place; see `cpu.choose`."""
    rank_max = rank_table.shape[1]
    best = (lam * rank_table[classes, 0]) >> 16
    total = np.zeros_like(best)
    kept = np.zeros_like(ranks)
    for r in range(1, rank_max):
        active = ranks >= r
        a = np.abs(U[r].astype(np.int64))
        v = np.abs(num[r].astype(np.int64)) << (scale + 1)
        top = np.minimum(a, MAGNITUDE_CLASSES - 1)
        candidates = [0 * top, np.maximum(top - 1, 0), top]
        bits = sum(prices[kind[r], candidates].astype(np.int64) for kind in contexts)
        price = (lam * bits) >> 17
        cost, u = price[0].copy(), np.zeros_like(a)
        for candidate, extra, allowed in ((a, price[2], a > 0), (a - 1, price[1], a > 1)):
            j = candidate * (candidate * lengths[r] - v) + extra
            better = allowed & (j < cost)
            cost[better], u[better] = j[better], candidate[better]
        total[active] += cost[active]
        U[r] = np.where(active, np.where(num[r] > 0, u, -u), U[r])
        whole = total + ((lam * rank_table[classes, r]) >> 16)
        better = active & (u > 0) & (whole < best)
        best[better], kept[better] = whole[better], r
    ranks[:] = kept
    index = np.arange(len(U))[:, None]
    U[(index > kept) & (index > 0) & (index < rank_max)] = 0


def count_magnitudes(U: np.ndarray, ranks: np.ndarray, table: np.ndarray, stride: int, contexts: np.ndarray,
                     counts: np.ndarray) -> None:
    """Count the magnitudes of the components from 1 on in two contexts each; see `cpu.count_magnitudes`."""
    magnitudes = np.abs(U.astype(np.int64))
    own = np.zeros(U.shape[1], np.int64)
    for r in range(1, contexts.shape[1]):
        m = np.flatnonzero(ranks >= r)
        a, rest = magnitudes[r], ranks[m] - r
        near = 2 * (a[m - 1] + a[m - stride]) + a[m - stride - 1] + a[m - stride + 1]
        for relative in (magnitudes[table[r, k]] for k in (0, 1) if table[r, k]):
            near += 2 * relative[m] + relative[m + 1] + relative[m + stride]
        inside = np.minimum(_level(own[m]), 11) * 10 + np.minimum(_level(rest), 9)
        contexts[0, r, m] = inside * 6 + table[r, 4]
        contexts[1, r, m] = INSIDE_CONTEXTS + ((rest == 0) * GROUPS + table[r, 3]) * 16 + _level(near)
        for kind in contexts:
            np.add.at(counts, (kind[r, m], np.minimum(a[m], MAGNITUDE_CLASSES - 1)), 1)
        own[m] += np.minimum(a[m], 40)


def magnitude_prices(counts: np.ndarray, prices: np.ndarray) -> None:
    """Write the cost of every magnitude with its sign in each context, in 1 / 256 bit.

    It is -log2 of its share, with PRIOR observations of the frequencies of all contexts together. For a patch's last
    component, where zero is not coded, that costs nothing.

    Parameters
    ----------
    counts : ndarray of int64, shape (MAGNITUDE_CONTEXTS, MAGNITUDE_CLASSES)
        Frequencies by `count_magnitudes`; at most 2**22 in all, the samples of a band, in the contexts of either kind.
    prices : ndarray of uint16, shape (MAGNITUDE_CONTEXTS, MAGNITUDE_CLASSES)
        Receives the costs.
    """
    total = counts[:INSIDE_CONTEXTS].sum(axis=0)
    weights = counts * total.sum() + PRIOR * total + 1
    prices[:] = log2(weights.sum(axis=1, keepdims=True)) - log2(weights)
    prices[:, 1:] += 256
    prices[:INSIDE_CONTEXTS].reshape(12, 10, 6, -1)[:, 0, :, 0] = 0
    prices[INSIDE_CONTEXTS + GROUPS * 16 :, 0] = 0


def _level(activity: np.ndarray) -> np.ndarray:
    return LEVEL[np.minimum(activity, 1023)]


def moments(num: np.ndarray, U: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """Write (X V)^T u_r to a and U^T u_r to b, both int64 (rows, columns); the guards of U are zero."""
    rows, columns = a.shape
    factors = U[:rows].astype(np.int64)
    a[:] = num[:rows].astype(np.int64) @ factors[:columns].T
    b[:] = 0
    b[:len(factors)] = factors @ factors[:columns].T


def update_v(a: np.ndarray, b: np.ndarray, factor: np.ndarray, prior: np.ndarray, quanta: np.ndarray,
             price: np.ndarray, low: float, high: float) -> None:
    """Update every column of V in turn: from the prior by m quanta where D + price[m] is least, in place.

    Parameters
    ----------
    a, b, factor, low, high
        As in :func:`imfnb.factorization.reference.update_column`; float64 that hold integers.
    prior : ndarray of float64, shape of factor
        What costs no bits.
    quanta : ndarray of float64, shape (R,)
        Quantum of each column; zero leaves a column alone.
    price : ndarray of float64
        Lambda times the bits of a distance of 0, 1, 2, ... quanta; no entry moves by as much as its length. Where it
        is zero and the quanta are one, this is :func:`imfnb.factorization.reference.update_columns`.
    """
    for r in range(factor.shape[1]):
        if quanta[r] == 0:
            continue
        limit = (len(price) - 1) // quanta[r]
        update_column(a, b, factor, r, low, high)
        target = factor[:, r] - prior[:, r]
        distance = np.abs(target)
        steps = np.minimum(np.rint(distance / quanta[r]), limit)
        best, kept = b[r, r] * (distance * distance) + price[0], np.zeros_like(distance)
        for m in (steps - 1, steps):
            off = distance - m * quanta[r]
            cost = b[r, r] * (off * off) + price[np.maximum(m, 0).astype(np.int64)]
            better = (m > 0) & (cost <= best)
            best[better], kept[better] = cost[better], m[better]
        factor[:, r] = prior[:, r] + np.sign(target) * (kept * quanta[r])


def mix(num: np.ndarray, U: np.ndarray, mixing: np.ndarray, gram: np.ndarray, bits: int, scale: int,
        out: np.ndarray) -> None:
    """Write X v_r - sum_{s != r} u_s (v_s . v_r) 2**-s of the mixed columns, given X V of the prior, to out."""
    rows, columns = mixing.shape
    out[:] = num
    products = mixing.T @ num[:rows].astype(np.int64)
    count = min(rows, len(U))
    others = gram[:count] * (1 - np.eye(count, rows, dtype=np.int64))
    result = num[:rows].astype(np.int64)
    result[:columns] = products >> bits
    result -= (others.T @ U[:count].astype(np.int64)) >> scale
    out[:rows] = np.clip(result, -(2**31) + 1, 2**31 - 1)


def rank_classes(ranks: np.ndarray, gh: int, gw: int, out: np.ndarray) -> None:
    """Write the bit length of the mean rank of the four neighbours, int32 (size,)."""
    K = ranks.reshape(gh + 3, gw + 4)
    mean = (K[2:-1, 1:-3] + K[1:-2, 2:-2] + K[2:-1, 3:-1] + K[3:, 2:-2] + 2) >> 2
    _inside(out, gh, gw)[:] = np.vectorize(lambda k: int(k).bit_length(), otypes=[np.int32])(mean)


def _first_residual(D: np.ndarray, y: int, x: int) -> tuple[int, int]:
    """Return (residual, context) of component 0 at a patch of the padded image."""
    w, n, nw = int(D[y, x - 1]), int(D[y - 1, x]), int(D[y - 1, x - 1])
    if y == 2:
        n = nw = w
    elif x == 2:
        w = nw = n
    ne = int(D[y - 1, x + 1]) if y > 2 and x < D.shape[1] - 3 else n
    activity = abs(w - nw) + abs(n - nw) + abs(ne - n)
    return int(D[y, x]) - sorted((w, n, w + n - nw))[1], min(activity.bit_length(), FIRST_CONTEXTS - 1)


def first_counts(D: np.ndarray, gh: int, gw: int, counts: np.ndarray) -> None:
    """Count the residual magnitudes of component 0 in each context; counts is int64 (contexts, classes)."""
    image = D.reshape(gh + 3, gw + 4)
    for y in range(2, gh + 2):
        for x in range(2, gw + 2):
            e, c = _first_residual(image, y, x)
            counts[c, min(abs(e), FIRST_CLASSES - 1)] += 1


def choose_first(num: np.ndarray, den: int, scale: int, lam: int, table: np.ndarray, gh: int, gw: int,
                 D: np.ndarray) -> None:
    """Choose component 0 among round and +-1 by the cost of its residual and of the three it predicts, in place."""
    image = D.reshape(gh + 3, gw + 4)
    numerator = num.reshape(gh + 3, gw + 4)
    for y in range(2, gh + 2):
        for x in range(2, gw + 2):
            centre = int(image[y, x])
            costs = []
            for u in (centre, centre + 1, centre - 1):
                image[y, x] = u
                bits = 0
                for yy, xx in ((y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1)):
                    if yy < gh + 2 and xx < gw + 2:
                        e, c = _first_residual(image, yy, xx)
                        bits += int(table[c, min(abs(e), FIRST_CLASSES - 1)])
                costs.append(u * (u * int(den) - (int(numerator[y, x]) << (scale + 1))) + ((lam * bits) >> 16))
            image[y, x] = centre + (0, 1, -1)[costs.index(min(costs))]


def _transform(plane: np.ndarray, cosines: np.ndarray) -> np.ndarray:
    """The DCT of all patches of a plane, int64 (p, p, rows, columns); see `cpu.proxy` for its unit."""
    p = len(cosines)
    X = plane.reshape(plane.shape[0] // p, p, plane.shape[1] // p, p).astype(np.int64)
    half = (np.einsum("ik,ykxj->yixj", cosines.astype(np.int64), X) + (1 << 11)) >> 12
    return np.einsum("lj,yixj->ilyx", cosines.astype(np.int64), half)


def proxy(plane: np.ndarray, cosines: np.ndarray, step: int) -> int:
    """Return the estimated rate-distortion cost of a plane; see `cpu.proxy`."""
    c = _transform(plane, cosines)
    unit = 2 * len(cosines) * step
    rest = np.minimum(np.abs(c) // unit, len(PROXY_COSTS) - 1)
    total = int(PROXY_COSTS[rest].sum() - PROXY_COSTS[rest[0, 0]].sum())
    change = np.abs(c[0, 0] - np.vstack([c[0, 0, :1], c[0, 0, :-1]])) // unit
    return total + int(PROXY_FIRST[np.minimum(change, len(PROXY_FIRST) - 1)].sum())


def spectrum(plane: np.ndarray, cosines: np.ndarray, counts: np.ndarray) -> None:
    """Count the coefficients of a plane by magnitude, an octave in eight classes.

    The first component counts by its change from the patch above. Class 0 is all below 16 of the transform's units,
    class 8 n + k + 1 begins at 2**(n + 1) (8 + k); counts is int64 (SPECTRUM_CLASSES,).
    """
    c = _transform(plane, cosines)
    c[0, 0, 1:] -= c[0, 0, :-1].copy()
    c[0, 0, 0] = 0
    value = np.abs(c).ravel()
    octave = np.frexp(value.astype(float))[1]
    classes = np.where(octave < 5, 0, 8 * (octave - 5) + ((value >> np.maximum(octave - 4, 0)) & 7) + 1)
    counts += np.bincount(classes, minlength=len(counts))


def reconstruct(U: np.ndarray, ranks: np.ndarray, columns: np.ndarray, limit: int, scale: int, p: int,
                plane: np.ndarray) -> None:
    """Write 2**-s U V^T to plane (int32); columns is V^T, int32 (R, N); |u| is clamped to limit."""
    gh, gw = plane.shape[0] // p, plane.shape[1] // p
    index = np.arange(len(U))[:, None]
    u = np.where((index <= ranks) | (index == 0), np.clip(U, -limit, limit), 0)
    factors = np.moveaxis(_inside(u, gh, gw), 0, 2).astype(np.int64)
    patches = (factors @ columns[:len(U)].astype(np.int64) + (1 << (scale - 1))) >> scale
    plane[:] = patches.reshape(gh, gw, p, p).transpose(0, 2, 1, 3).reshape(plane.shape)
